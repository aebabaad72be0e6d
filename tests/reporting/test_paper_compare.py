"""What is compared with the paper: every number worked by hand, or missing for a reason."""

import numpy as np
import pytest
from paper_results import SHIFT, entry, results_of

from kerasood.reporting import paper_numbers
from kerasood.reporting.paper import compare, mean_title, row_title, status_text
from kerasood.reporting.paper_plots import energy_figure, fpr95_figure


def test_all_six_sets_compare_with_everything_that_the_paper_prints():
    comparison = compare(results_of([entry(name) for name in paper_numbers.SETS]))
    assert comparison["mean"]["complete"]
    assert mean_title(comparison) == "Mean of the six sets"
    for row in comparison["table1"]:
        for model in row["models"]:
            assert model["difference"] == pytest.approx(SHIFT, abs=1e-12)
    for model in comparison["mean"]["models"]:
        assert model["difference"] == pytest.approx(SHIFT, abs=1e-12)
    table2 = {row["method"]: row for row in comparison["table2"]}
    assert all(row["paper_sets"] == 6 for row in table2.values())
    # The scores above are the energy's: 71.25 + 2 - 80.55 against the paper's MSP.
    assert table2["msp"]["difference"]["fpr95"] == pytest.approx(0.7125 + 0.02 - 0.8055, abs=1e-4)
    assert table2["ours"]["difference"] == pytest.approx(SHIFT, abs=1e-12)
    # Not measured, for instance without training images: nothing to compare.
    assert table2["mahalanobis"]["measured"] is table2["mahalanobis"]["difference"] is None
    assert table2["mahalanobis"]["paper"]["fpr95"] == 0.6005


def test_accuracies_worked_by_hand():
    before, after = compare(results_of([entry("svhn")]))["accuracy"]
    assert before == {"measured": 0.75, "paper": 0.7601, "difference": pytest.approx(-0.0101)}
    assert after["difference"] == pytest.approx(0.77 - 0.7611)


def test_some_sets_compare_with_the_papers_mean_over_the_same():
    sets = [entry("textures"), entry("svhn", 7_136, "7,136 of 26,032 images; strange")]
    sets.append(entry("scenes_crop"))
    comparison = compare(results_of(sets))
    assert comparison["mean"]["sets"] == ["textures", "svhn"]
    assert mean_title(comparison) == "Mean of 2 of six sets (Textures, SVHN)"
    before = comparison["mean"]["models"][0]
    assert before["paper"]["fpr95"] == pytest.approx((0.8044 + 0.7475) / 2)
    assert before["measured"]["fpr95"] == pytest.approx((0.8044 + 0.7475) / 2 + 0.02)
    assert before["difference"] == pytest.approx(SHIFT, abs=1e-12)
    table2 = {row["method"]: row for row in comparison["table2"]}
    assert table2["odin"]["difference"] is None and table2["odin"]["paper_sets"] == 6
    assert table2["energy"]["paper_sets"] == 2


def test_every_set_is_called_what_it_is():
    sets = [entry("places365", 36_500), entry("svhn", 7_136, "7,136 of 26,032 images; strange")]
    found = {e["name"]: e for e in compare(results_of([*sets, entry("scenes_resize")]))["sets"]}
    texts = {name: (status_text(e), row_title(e)) for name, e in found.items()}
    assert texts["places365"] == ("published: 36,500 images, usually 10,000", "Places365")
    assert texts["svhn"] == ("partial: 7,136 of 26,032 images", "SVHN (7,136 of 26,032)")
    assert texts["isun"] == ("missing", "iSUN (missing)")
    assert texts["lsun_resize"] == (
        "stand-in: 100 images of Scenes-Resize", "Scenes-Resize (for LSUN-Resize)"
    )
    assert found["svhn"]["note"] == "strange"


def test_a_stand_in_is_shown_and_never_compared():
    comparison = compare(results_of([entry("svhn"), entry("scenes_crop")]))
    rows = {row["set"]: row for row in comparison["table1"]}
    assert rows["lsun_crop"]["used"] == "scenes_crop"
    for model in rows["lsun_crop"]["models"]:
        assert model["measured"] and model["paper"] and model["difference"] is None
    assert all(model["measured"] is None for model in rows["isun"]["models"])
    assert comparison["mean"]["sets"] == ["svhn"]


def test_a_published_set_needs_no_stand_in():
    comparison = compare(results_of([entry("lsun_crop"), entry("scenes_crop")]))
    rows = {row["set"]: row for row in comparison["table1"]}
    assert rows["lsun_crop"]["used"] == "lsun_crop"


def test_a_fine_tune_made_for_another_detector_has_a_row_beside_which_the_paper_has_none():
    results = results_of([entry(name) for name in paper_numbers.SETS])
    ours = [metric for metric in results["metrics"] if metric["model"] == "tuned"]
    results["metrics"] += [{**metric, "detector": "reject"} for metric in ours]
    results["models"][1]["label"] = "+ ntom"
    *_, energy, own = compare(results | {"scored_by": "reject"})["table2"]
    assert energy["method"] == "ours" and own["title"] == "+ ntom: reject"
    assert own["measured"] == energy["measured"]
    assert own["paper"] is own["difference"] is None
    assert compare(results | {"scored_by": "energy"})["table2"][-1]["method"] == "ours"


def test_figures_show_measured_and_paper():
    results = results_of([entry("svhn"), entry("scenes_crop")])
    results["comparison"] = compare(results)
    texts = {text.get_text() for text in fpr95_figure(results).axes[0].texts}
    assert {"76.75 → 58.05", "74.75 → 56.05", "iSUN (missing)", "75.92 → 54.93"} <= texts
    generator = np.random.default_rng(0)
    scores = {
        (model, "energy", name): generator.normal(mean, 1, 500)
        for model in ("base", "tuned")
        for name, mean in (("in", 0), ("svhn", 50), ("scenes_crop", 0))
    }
    panel = energy_figure(results, scores).axes[1]
    assert any("overlap 0.00 %" in text.get_text() for text in panel.texts)
