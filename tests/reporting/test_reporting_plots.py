import re

import numpy as np
import pytest
from example_results import SETS, example
from scipy import stats

from kerasood import reporting
from kerasood.reporting.decision import best_pair
from kerasood.reporting.drawing import to_svg
from kerasood.reporting.findings import Findings
from kerasood.reporting.plots import common_range, density, density_figure, roc_figure


def test_figures_show_every_set_and_model():
    results, scores = example(num_models=2)
    roc = roc_figure(Findings(results), scores)
    assert len(roc.axes) == len(SETS)
    fpr95 = Findings(results).metric("base", "energy", "svhn")["fpr95"]["mean"]
    dots = [line for line in roc.axes[0].lines if line.get_marker() == "o"]
    assert dots[0].get_xydata().tolist() == [[fpr95, 0.95]]
    densities = density_figure(Findings(results), scores)
    assert len(densities.axes) == 2
    texts = [text.get_text() for text in densities.axes[0].texts]
    assert {title for _, title, *_ in SETS} <= set(texts)
    flagged = Findings(results).threshold("base")["flagged"]["svhn"]
    assert f"{100 * flagged:.1f} %" in texts


def test_other_detectors_can_be_drawn():
    results, scores = example()
    findings = Findings(results)
    energy, msp = (
        to_svg(roc_figure(findings, scores, detector=name)) for name in ("energy", "msp")
    )
    assert energy != msp
    assert "msp score" in to_svg(density_figure(findings, scores, detector="msp"))


def test_the_detector_to_take_is_drawn_before_the_energy():
    results, scores = example(num_models=2)
    results["chosen"] = {"detector": "max_logit", "reason": "Chosen on generated outliers."}
    text = reporting.page(results, scores)
    group, _ = best_pair(Findings(results))
    titles = re.findall("(?:ROC curves|Score densities): [^<]*", text)
    taken = f"max_logit on {group.label}"
    assert titles == [
        f"ROC curves: {taken}", f"Score densities: {taken}",
        "ROC curves: energy", "Score densities: energy",
    ]
    assert text.count("<svg") == 4 and "max_logit score" in text


def test_constant_scores_can_be_drawn():
    results, scores = example()
    flat = {key: np.full_like(values, -1) for key, values in scores.items()}
    assert "<svg" in to_svg(density_figure(Findings(results), flat))


def test_svg_is_the_same_for_the_same_figure_and_small():
    results, scores = example(num_in=5000, num_out=1000)
    first, second = (to_svg(roc_figure(Findings(results), scores), 'of "energy"') for _ in range(2))
    assert first == second
    assert first.startswith('<svg role="img" aria-label="of &quot;energy&quot;"')
    assert "<metadata" not in first and "<?xml" not in first
    assert "var(--model-1, #0072b2)" in first
    assert len(first) < 60_000


def test_density_is_that_of_the_distribution():
    scores = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000, 2, 0.5)
    positions, values = density(scores, -2.0, 6.0)
    expected = np.exp(-0.5 * ((positions - 2) / 0.5) ** 2) / (0.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(values, expected, atol=0.02)
    assert np.sum(values) * (positions[1] - positions[0]) == pytest.approx(1, abs=1e-9)


def test_common_range_ignores_outliers_and_is_never_empty():
    low, high = common_range([np.r_[np.linspace(0, 1, 1000), 1e6], np.linspace(3, 4, 1000)])
    assert -0.4 < low < 0 and 4 < high < 4.4
    low, high = common_range([np.full(5, 2.0)])
    assert low < 2 < high
    low, high = common_range([np.zeros(3)])
    assert low < 0 < high
