import time

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics
from tied_scores import tied_scores

from kerasood import metrics

SINGLE = (metrics.auroc, metrics.aupr_in, metrics.aupr_out, metrics.fpr_at_tpr)


def naive_auroc(scores_in, scores_out):
    wins = 0.0
    for score_in in scores_in:
        for score_out in scores_out:
            wins += 1.0 if score_out > score_in else 0.5 if score_out == score_in else 0.0
    return wins / (len(scores_in) * len(scores_out))


def naive_fpr_at_tpr(scores_in, scores_out, tpr):
    """The reference's rule, threshold by threshold, with its sentinel (recall 1, no OOD)."""
    points = []
    for threshold in sorted(set(scores_in) | set(scores_out)):
        recall = sum(score <= threshold for score in scores_in) / len(scores_in)
        points.append((recall, sum(score <= threshold for score in scores_out)))
        if recall == 1:
            break
    points = [*reversed(points), (1.0, 0)]
    best_recall, best_accepted = points[0]
    for recall, accepted in points:
        if abs(recall - tpr) < abs(best_recall - tpr):
            best_recall, best_accepted = recall, accepted
    return best_accepted / len(scores_out)


def test_values_worked_by_hand():
    # Accepted one score at a time: in, out, in, in, out.
    scores_in, scores_out = [1.0, 3.0, 4.0], [2.0, 5.0]
    result = metrics.all_metrics(scores_in, scores_out)
    assert result["auroc"] == 4 / 6
    assert result["aupr_in"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3, abs=1e-15)
    assert result["aupr_out"] == pytest.approx((1 + 2 / 4) / 2, abs=1e-15)
    assert result["fpr95"] == 0.5


def test_tied_scores_worked_by_hand():
    # Three thresholds accept (1 in, 0 out), (3 in, 2 out), (4 in, 3 out).
    scores_in, scores_out = [0.0, 1.0, 1.0, 2.0], [1.0, 1.0, 2.0]
    result = metrics.all_metrics(scores_in, scores_out)
    assert result["auroc"] == (1 * 3 + 2 * (2 * 0.5 + 1) + 1 * 0.5) / 12
    assert result["aupr_in"] == pytest.approx(1 / 4 * 1 + 2 / 4 * 3 / 5 + 1 / 4 * 4 / 7, abs=1e-15)
    assert result["aupr_out"] == pytest.approx(1 / 3 * 1 / 2 + 2 / 3 * 3 / 6, abs=1e-15)
    assert metrics.fpr_at_tpr(scores_in, scores_out, 0.76) == 2 / 3


def test_fpr_takes_the_nearest_recall_and_of_equal_recalls_the_larger_fpr():
    scores_in = [0.0, 1.0, 2.0, 3.0]
    scores_out = [0.5, 1.2, 1.4, 3.5]
    # Recall 0.5 is reached at 1.0 with one OOD image accepted and still holds at 1.4 with three.
    assert metrics.fpr_at_tpr(scores_in, scores_out, 0.55) == 3 / 4
    # 0.625 is as near to 0.75 as to 0.5.
    assert metrics.fpr_at_tpr(scores_in, scores_out, 0.625) == 3 / 4
    # The threshold 3.5 is beyond the first with full recall and does not count.
    assert metrics.fpr_at_tpr(scores_in, scores_out, 1.0) == 3 / 4
    # Where two recalls are equally near and differ in FPR, the larger recall decides.
    assert metrics.fpr_at_tpr([0.0, 2.0], [1.0, 1.5, 1.6], 0.75) == 1.0
    assert metrics.fpr_at_tpr([0.0, 2.0], [-1.0, 1.9, 1.95], 0.51) == 1.0


@pytest.mark.parametrize("seed", range(20))
def test_naive_twins_on_tied_scores(seed):
    scores_in, scores_out = tied_scores(seed)
    assert metrics.auroc(scores_in, scores_out) == pytest.approx(
        naive_auroc(scores_in, scores_out), abs=1e-15
    )
    for tpr in (0.05, 0.5, 0.8, 0.95, 1.0):
        assert metrics.fpr_at_tpr(scores_in, scores_out, tpr) == naive_fpr_at_tpr(
            scores_in, scores_out, tpr
        )


@pytest.mark.parametrize("seed", range(10))
def test_equals_scikit_learn_on_tied_scores(seed):
    scores_in, scores_out = tied_scores(seed, num_in=300, num_out=190)
    is_out = np.r_[np.zeros(300), np.ones(190)]
    scores = np.r_[scores_in, scores_out]
    result = metrics.all_metrics(scores_in, scores_out)
    expected = {
        "auroc": sklearn_metrics.roc_auc_score(is_out, scores),
        "aupr_in": sklearn_metrics.average_precision_score(1 - is_out, -scores),
        "aupr_out": sklearn_metrics.average_precision_score(is_out, scores),
    }
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, abs=1e-12)
    fpr, tpr, _ = sklearn_metrics.roc_curve(1 - is_out, -scores, drop_intermediate=False)
    ours = metrics.roc_curve(scores_in, scores_out)
    np.testing.assert_allclose(ours[0], fpr, rtol=0, atol=1e-15)
    np.testing.assert_allclose(ours[1], tpr, rtol=0, atol=1e-15)


def test_all_metrics_equals_the_single_functions():
    scores_in, scores_out = tied_scores(3)
    assert metrics.all_metrics(scores_in, scores_out) == {
        "fpr95": metrics.fpr_at_tpr(scores_in, scores_out),
        "auroc": metrics.auroc(scores_in, scores_out),
        "aupr_in": metrics.aupr_in(scores_in, scores_out),
        "aupr_out": metrics.aupr_out(scores_in, scores_out),
    }


@pytest.mark.parametrize("change", [np.exp, lambda scores: 3 * scores - 7, np.float32])
def test_only_the_order_of_the_scores_counts(change):
    scores_in, scores_out = tied_scores(4)
    changed = metrics.all_metrics(change(scores_in), change(scores_out))
    assert changed == metrics.all_metrics(scores_in, scores_out)


def test_swapping_the_classes():
    scores_in, scores_out = tied_scores(5)
    assert metrics.auroc(scores_in, scores_out) == metrics.auroc(-scores_out, -scores_in)
    assert metrics.auroc(scores_in, scores_out) + metrics.auroc(scores_out, scores_in) == 1
    assert metrics.aupr_out(scores_in, scores_out) == metrics.aupr_in(-scores_out, -scores_in)


def test_shuffling_changes_nothing():
    scores_in, scores_out = tied_scores(6)
    shuffled = np.random.default_rng(0).permutation(scores_in)
    assert metrics.all_metrics(shuffled, scores_out) == metrics.all_metrics(scores_in, scores_out)


def test_equal_scores_are_chance():
    result = metrics.all_metrics(np.full(30, 2.5), np.full(10, 2.5))
    assert result == {"fpr95": 1.0, "auroc": 0.5, "aupr_in": 0.75, "aupr_out": 0.25}


@pytest.mark.parametrize(("score_out", "fpr95", "auroc", "aupr"), [(2, 0, 1, 1), (0, 1, 0, 0.5)])
def test_one_image_of_each(score_out, fpr95, auroc, aupr):
    result = metrics.all_metrics([1], [score_out])
    assert result == {"fpr95": fpr95, "auroc": auroc, "aupr_in": aupr, "aupr_out": aupr}


def test_roc_curve_starts_with_nothing_accepted_and_its_area_is_the_auroc():
    scores_in, scores_out = tied_scores(7)
    fpr, tpr, thresholds = metrics.roc_curve(scores_in, scores_out)
    assert (fpr[0], tpr[0], thresholds[0]) == (0, 0, -np.inf)
    assert (fpr[-1], tpr[-1]) == (1, 1)
    assert fpr[3] == np.mean(scores_out <= thresholds[3])
    assert np.trapezoid(tpr, fpr) == pytest.approx(metrics.auroc(scores_in, scores_out), abs=1e-12)


@pytest.mark.parametrize("function", [*SINGLE, metrics.all_metrics, metrics.roc_curve])
@pytest.mark.parametrize(
    ("bad", "received"),
    [
        ([], r"shape=\(0,\)"),
        (np.zeros((3, 1)), r"shape=\(3, 1\)"),
        (1.0, r"shape=\(\)"),
        ([0.0, np.nan, np.nan], r"2 of 3 scores .*scores_out\[1\]=nan"),
        ([np.inf], r"scores_out\[0\]=inf"),
    ],
)
def test_bad_scores_are_refused(function, bad, received):
    with pytest.raises(ValueError, match=rf"`scores_out`.*Received: .*{received}"):
        function([0.0, 1.0], bad)
    with pytest.raises(ValueError, match="`scores_in`"):
        function(bad, [0.0, 1.0])


@pytest.mark.parametrize("tpr", [0, -0.1, 1.01, float("nan")])
def test_impossible_tpr_is_refused(tpr):
    with pytest.raises(ValueError, match=r"\(0, 1\]. Received: tpr="):
        metrics.fpr_at_tpr([0.0], [1.0], tpr)


def test_a_test_set_takes_milliseconds():
    generator = np.random.default_rng(0)
    scores_in = generator.normal(size=10_000).astype(np.float32)
    scores_out = generator.normal(1, size=2_000).astype(np.float32)
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        metrics.all_metrics(scores_in, scores_out)
        seconds.append(time.perf_counter() - start)
    # Measured below 0.003; ten times that still tells a sort from a pair count.
    assert min(seconds) < 0.03
