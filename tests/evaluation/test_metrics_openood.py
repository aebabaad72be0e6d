"""The metrics with OOD positive, and one ranking for many selections."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from tied_scores import tied_scores

from kerasood import metrics

SINGLE = (metrics.fpr_at_first_tpr, metrics.aupr_in_trapezoid, metrics.aupr_out_trapezoid)


def naive_fpr_at_first_tpr(scores_in, scores_out, tpr):
    for threshold in sorted(set(scores_in) | set(scores_out), reverse=True):
        if sum(score >= threshold for score in scores_out) / len(scores_out) >= tpr:
            return sum(score >= threshold for score in scores_in) / len(scores_in)


def naive_trapezoid(positive, negative):
    """Area by trapezoids where a higher score means positive, threshold by threshold."""
    area, recall, precision = 0.0, 0.0, 1.0
    for threshold in sorted(set(positive) | set(negative), reverse=True):
        hits = sum(score >= threshold for score in positive)
        others = sum(score >= threshold for score in negative)
        next_recall, next_precision = hits / len(positive), hits / (hits + others)
        area += (next_recall - recall) * (precision + next_precision) / 2
        recall, precision = next_recall, next_precision
    return area


def test_values_worked_by_hand():
    # Flagged one score at a time: out, in, in, out, in.
    scores_in, scores_out = [1.0, 3.0, 4.0], [2.0, 5.0]
    assert metrics.fpr_at_first_tpr(scores_in, scores_out) == 2 / 3
    assert metrics.fpr_at_first_tpr(scores_in, scores_out, 0.5) == 0
    aupr_out = 1 / 2 * (1 + 1) / 2 + 1 / 2 * (1 / 3 + 2 / 4) / 2
    assert metrics.aupr_out_trapezoid(scores_in, scores_out) == pytest.approx(aupr_out, abs=1e-15)
    # Accepted: in, out, in, in, out.
    aupr_in = 1 / 3 * (1 + 1) / 2 + 1 / 3 * (1 / 2 + 2 / 3) / 2 + 1 / 3 * (2 / 3 + 3 / 4) / 2
    assert metrics.aupr_in_trapezoid(scores_in, scores_out) == pytest.approx(aupr_in, abs=1e-15)


def test_ties_worked_by_hand():
    # Two thresholds flag (1 in, 1 out) and (3 in, 3 out), the third everything.
    scores_in, scores_out = [0.0, 1.0, 1.0, 2.0], [1.0, 1.0, 2.0]
    assert metrics.fpr_at_first_tpr(scores_in, scores_out) == 3 / 4
    aupr = 1 / 3 * (1 + 1 / 2) / 2 + 2 / 3 * (1 / 2 + 3 / 6) / 2
    assert metrics.aupr_out_trapezoid(scores_in, scores_out) == pytest.approx(aupr, abs=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_naive_twins_on_tied_scores(seed):
    scores_in, scores_out = tied_scores(seed)
    for tpr in (0.05, 0.5, 0.8, 0.95, 1.0):
        assert metrics.fpr_at_first_tpr(scores_in, scores_out, tpr) == naive_fpr_at_first_tpr(
            scores_in, scores_out, tpr
        )
    assert metrics.aupr_out_trapezoid(scores_in, scores_out) == pytest.approx(
        naive_trapezoid(scores_out, scores_in), abs=1e-14
    )
    assert metrics.aupr_in_trapezoid(scores_in, scores_out) == pytest.approx(
        naive_trapezoid(-scores_in, -scores_out), abs=1e-14
    )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_equals_scikit_learn(seed, tied):
    if tied:
        scores_in, scores_out = tied_scores(seed, num_in=300, num_out=190)
    else:
        generator = np.random.default_rng(seed)
        scores_in, scores_out = generator.normal(0, 1, 300), generator.normal(1, 1, 190)
    is_out = np.r_[np.zeros(300), np.ones(190)]
    scores = np.r_[scores_in, scores_out]
    fpr, tpr, _ = sklearn_metrics.roc_curve(is_out, scores, drop_intermediate=not tied)
    result = metrics.all_metrics_out(scores_in, scores_out)
    assert result["fpr95"] == pytest.approx(fpr[np.argmax(tpr >= 0.95)], abs=1e-12)
    assert result["auroc"] == pytest.approx(sklearn_metrics.auc(fpr, tpr), abs=1e-12)
    for name, positive, sign in (("aupr_in", 1 - is_out, -1), ("aupr_out", is_out, 1)):
        precision, recall, _ = sklearn_metrics.precision_recall_curve(positive, sign * scores)
        assert result[name] == pytest.approx(sklearn_metrics.auc(recall, precision), abs=1e-12)


def test_all_metrics_out_equals_the_single_functions():
    scores = tied_scores(3)
    assert metrics.all_metrics_out(*scores) == {
        "fpr95": metrics.fpr_at_first_tpr(*scores),
        "auroc": metrics.auroc(*scores),
        "aupr_in": metrics.aupr_in_trapezoid(*scores),
        "aupr_out": metrics.aupr_out_trapezoid(*scores),
    }


def test_equal_scores():
    result = metrics.all_metrics_out(np.full(30, 2.5), np.full(10, 2.5))
    assert result == {"fpr95": 1.0, "auroc": 0.5, "aupr_in": 0.875, "aupr_out": 0.625}


@pytest.mark.parametrize("seed", range(10))
def test_a_ranking_gives_what_sorting_the_selection_gives(seed):
    scores_in, scores_out = tied_scores(seed, num_in=100, num_out=120)
    ranking = metrics.Ranking(scores_in, scores_out)
    generator = np.random.default_rng(seed)
    for size in (1, 17, 120):
        chosen = generator.choice(120, size, replace=False)
        selection = scores_in, scores_out[chosen]
        alone = metrics.Ranking(*selection).counts()
        for ours, expected in zip(ranking.counts(chosen), alone, strict=True):
            np.testing.assert_array_equal(ours, expected)
        assert ranking.all_metrics(chosen) == metrics.all_metrics(*selection)
        assert ranking.all_metrics_out(chosen) == metrics.all_metrics_out(*selection)


@pytest.mark.parametrize("function", [*SINGLE, metrics.all_metrics_out])
def test_bad_scores_are_refused(function):
    for bad in ([], np.zeros((3, 1)), [0.0, np.nan]):
        with pytest.raises(ValueError, match="`scores_out`.*Received: "):
            function([0.0, 1.0], bad)
        with pytest.raises(ValueError, match="`scores_in`"):
            function(bad, [0.0, 1.0])


@pytest.mark.parametrize("tpr", [0, -0.1, 1.01, float("nan")])
def test_impossible_tpr_is_refused(tpr):
    with pytest.raises(ValueError, match=r"\(0, 1\]. Received: tpr="):
        metrics.fpr_at_first_tpr([0.0], [1.0], tpr)
