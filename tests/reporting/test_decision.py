"""What the decision takes and says of it, and models that have nothing to do with each other."""

import pytest
from example_results import example
from report_checks import printed

from kerasood import reporting
from kerasood.reporting.decision import best_pair, decision
from kerasood.reporting.findings import Findings


def with_means(fpr95, auroc, unrelated=False):
    """Results of two models, all detectors alike: (base, fine-tune) of FPR95 and of AUROC."""
    results, _ = example(num_models=2)
    for entry in results["means"]:
        tuned = entry["model"] == "logits"
        entry.update(fpr95=fpr95[tuned], auroc=auroc[tuned])
    for model in results["models"]:
        model["base"] = None if unrelated else model["base"]
    return results


@pytest.mark.parametrize(
    ("fpr95", "auroc", "taken"),
    [
        ((0.1, 0.1), (0.9, 0.95), "logits"),
        ((0.10001, 0.10002), (0.9, 0.95), "logits"),
        ((0.1, 0.1), (0.95, 0.9), "base"),
        ((0.1, 0.2), (0.9, 0.95), "base"),
    ],
)
def test_of_equal_fpr95_the_higher_auroc_is_taken(fpr95, auroc, taken):
    group, detector = best_pair(Findings(with_means(fpr95, auroc)))
    assert (group.models, detector) == ((taken,), "msp")


def test_models_that_are_level_are_named():
    level = decision(Findings(with_means((0.1, 0.1), (0.9, 0.9))))[1]
    assert "below, level with max_logit, energy, msp on + sparsity (logits), " in level
    assert " on " not in decision(Findings(with_means((0.1, 0.2), (0.9, 0.9))))[1].split(". ")[0]


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.9968, "99.7"), (0.99996, "99.9"), (1, "100"), (0.99, "99"), (0.0032, "0.3"),
     (0.0001, "0.1"), (0, "0"), (0.505, "50"), (0.9501, "95")],
)
def test_nearly_all_is_not_all(share, shown):
    results, _ = example()
    for entry in results["thresholds"]:
        entry["flagged"] = dict.fromkeys(entry["flagged"], share)
    assert f" flags {shown} % of SVHN, {shown} % of " in decision(Findings(results))[0]


def test_models_of_no_common_origin_stand_side_by_side():
    results = with_means((0.5, 0.6), (0.9, 0.8), unrelated=True)
    page = reporting.page(results, None)
    for text in (reporting.to_markdown(results), page, printed(results)):
        text = " ".join(text.split())
        assert "Side by side: energy" in text and "Before and after" not in text
        assert "Base accepts 50.00 % of OOD images at 95 % ID recall (mean of 3 far sets" in text
        assert "+ sparsity (logits) accepts 60.00 % (AUROC 80.00, accuracy 90.80 %)." in text
        assert "raises" not in text and "lowers" not in text
    assert "Before and after: energy" in printed(with_means((0.5, 0.6), (0.9, 0.8)))
