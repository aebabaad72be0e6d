"""Regrets of rules, worked by hand."""

import pytest

from experiments.regret import SHIPPED
from experiments.rules import RULES, Rule, judged, left_out_rule, mean_regret, regret
from kerasood.data.validation_outliers import OUTLIER_KINDS


def point(detector, auroc, fpr95, generated_fpr95=0.5, **params):
    """A detector of one AUROC on every kind, and of one FPR95 on two sets."""
    kind = {"auroc": auroc, "fpr95": generated_fpr95}
    return {
        "detector": detector, "params": params,
        "kinds": dict.fromkeys(OUTLIER_KINDS, kind),
        "sets": {"a": {"fpr95": fpr95 - 0.1}, "b": {"fpr95": fpr95 + 0.1}},
    }


def network(name, family, react, *others):
    base = [point("energy", 0.7, 0.5), point("msp", 0.6, 0.6), point("mahalanobis", 0.8, 0.4)]
    return {"network": name, "family": family, "points": [*base, *react, *others]}


# By default percentiles 99 and k = 50: at another one ReAct fits the generated outliers alone.
FIRST = network(
    "one", "f",
    [point("react", 0.75, 0.45, percentile=99), point("react", 0.95, 0.9, percentile=90)],
    point("knn", 0.8005, 0.3, k=50),
)
SECOND = network(
    "two", "g", [point("react", 0.9, 0.2, percentile=99)], point("knn", 0.7, 0.6, k=50)
)


def test_a_bank_must_win_by_the_margin_and_defaults_are_the_measure():
    taken = SHIPPED.take(FIRST["points"])
    assert taken["detector"] == "mahalanobis", "knn is better by half of the margin only"
    assert regret(FIRST, taken) == pytest.approx(10)
    assert Rule().take(FIRST["points"])["detector"] == "knn"
    tuned = Rule(tune=True).take(FIRST["points"])
    assert tuned["params"] == {"percentile": 90} and regret(FIRST, tuned) == pytest.approx(60)


def test_families_weigh_the_same_and_do_not_choose_their_own_rule():
    twin = {**FIRST, "network": "three"}
    assert mean_regret([FIRST, twin, SECOND], Rule(tune=True)) == pytest.approx(30)
    # Judged by the second alone every rule is right, so that the first of them is taken.
    assert left_out_rule([FIRST, SECOND], "f") == RULES[0] == Rule()
    text = judged([FIRST, SECOND], SHIPPED)
    assert "| one | knn 30.0 | mahalanobis 40.0 | 10.0 | 0.0 | 20.0 | 30.0 | 10.0 | 0.0 |" in text
    assert "| mean_auroc, detector at its defaults | 0.00 |" in text
    assert "| react | +45.0 | +0.0 | +22.5 |" in text
