import functools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy import stats

from kerasood.thresholds import (
    calibrate,
    calibrate_per_class,
    drift_check,
    drift_evidence,
    spent_significance,
)


def flags_of(num_flagged, num_images):
    return np.arange(num_images) < num_flagged


def report_of(threshold, num_flagged, num_images, significance=0.05):
    return drift_check(threshold, flags_of(num_flagged, num_images), significance=significance)


def naive_masses(num_images, rank, num_calibration):
    """In how many of the equally likely orders a of m images come before the k-th of n, counted."""
    orders = comb(num_calibration + num_images, num_images)
    return [
        Fraction(
            comb(rank - 1 + a, a)
            * comb(num_calibration - rank + num_images - a, num_images - a),
            orders,
        )
        for a in range(num_images + 1)
    ]


def naive_p_value(threshold, num_flagged, num_images):
    accepted, n = num_images - num_flagged, threshold.num_images
    fewest = naive_masses(num_images, threshold.required_rank, n)
    most = [Fraction(0)] * num_images + [Fraction(1)]
    if threshold.rank < n:
        most = naive_masses(num_images, threshold.rank + 1, n)
    return min(Fraction(1), 2 * min(sum(fewest[: accepted + 1]), sum(most[accepted:])))


def test_worked_by_hand():
    # n = 3, k = 2, m = 2: of the 10 orders 3, 4, 3 have 0, 1, 2 images below the second score, and
    # 1, 3, 6 below the third, up to which the threshold may lie.
    assert naive_masses(2, 2, 3) == [Fraction(3, 10), Fraction(4, 10), Fraction(3, 10)]
    threshold = calibrate([1.0, 2.0, 3.0], tpr=0.5)
    p_values = [report_of(threshold, flagged, 2).p_value for flagged in range(3)]
    assert p_values == pytest.approx([1.0, 1.0, 0.6])
    # All 10 images above the largest of 19 scores: one of the C(29, 10) orders.
    threshold = calibrate(np.arange(19.0))
    assert report_of(threshold, 10, 10).p_value == pytest.approx(2 / comb(29, 10))
    assert report_of(threshold, 0, 10).p_value == 1.0


@pytest.mark.parametrize(
    "threshold",
    [
        calibrate(np.arange(19.0)),
        calibrate(np.arange(40.0), tpr=0.9),
        calibrate(np.arange(60.0), tpr=0.9, guarantee="confidence"),
        calibrate(np.r_[np.zeros(30), np.arange(1, 20)], tpr=0.5),
    ],
    ids=["largest", "average", "confidence", "tied"],
)
@pytest.mark.parametrize("num_images", [1, 7, 30])
def test_p_values_equal_a_naive_twin_in_fractions(threshold, num_images):
    expected = [naive_p_value(threshold, f, num_images) for f in range(num_images + 1)]
    reports = [report_of(threshold, f, num_images, 0.1) for f in range(num_images + 1)]
    np.testing.assert_allclose([r.p_value for r in reports], np.array(expected, float), rtol=1e-9)
    for flagged, report in enumerate(reports):
        low, high = report.expected
        assert report.drifted == (not low <= flagged <= high) == (report.p_value <= 0.1)


def test_a_clear_drift_is_found_and_told():
    threshold = calibrate(np.arange(1000.0))
    report = report_of(threshold, 120, 1000)
    assert report.drifted and report.p_value < 1e-7
    assert (report.num_images, report.num_flagged) == (1000, 120)
    low, high = report.expected
    assert 25 < low < 50 < high < 75
    assert report.explanation == (
        f"Drift: 120 of 1000 images flagged, {low} to {high} expected "
        f"(p = {report.p_value:.2g}, significance 0.05)."
    )
    quiet = report_of(threshold, 50, 1000)
    assert not quiet.drifted and quiet.p_value > 0.9
    assert quiet.explanation.startswith("No drift shown: 50 of 1000 images flagged")
    assert report_of(threshold, 5, 1000).drifted, "too few is unusual too"


def test_a_small_calibration_sample_explains_more():
    # 80 of 1000 flagged at 5 %: a binomial test would be sure; 100 calibration images are not.
    assert stats.binomtest(80, 1000, 0.05).pvalue < 1e-4
    assert not report_of(calibrate(np.arange(100.0)), 80, 1000).drifted
    assert report_of(calibrate(np.arange(10_000.0)), 80, 1000).drifted


def test_scores_and_flags_say_the_same():
    generator = np.random.default_rng(0)
    threshold = calibrate(generator.normal(size=200).astype("float32"))
    scores = generator.normal(size=100).astype("float32")
    assert drift_check(threshold, scores) == drift_check(threshold, scores > threshold.value)
    assert drift_check(threshold, scores).num_flagged == np.sum(scores > threshold.value)


@pytest.mark.parametrize("place", ["at the score", "just below the next"])
@pytest.mark.parametrize("guarantee", ["average", "confidence"])
def test_false_alarms_are_as_rare_as_stated(place, guarantee):
    generator = np.random.default_rng(1)
    draws, num_images, significance = 20_000, 90, 0.1
    threshold = calibrate(np.arange(120.0), tpr=0.9, guarantee=guarantee)
    rank = threshold.rank if place == "at the score" else threshold.rank + 1
    # The rank-th of n uniform scores is the share of traffic below it.
    share = np.sort(generator.random((draws, 120)), axis=1)[:, rank - 1]
    flagged = generator.binomial(num_images, 1 - share)
    p_values = np.array(
        [report_of(threshold, f, num_images).p_value for f in range(num_images + 1)]
    )[flagged]
    for level in (0.01, 0.05, significance):
        assert np.mean(p_values <= level) < level + 4 * np.sqrt(level * (1 - level) / draws)
    assert np.mean(p_values <= significance) > 0.4 * significance


@pytest.mark.parametrize("masses", [[0.85, 0.04, 0.04, 0.04, 0.03], [0.88, 0.12], [0.02] * 50])
def test_ties_raise_no_false_alarms(masses):
    generator = np.random.default_rng(2)
    upper = np.cumsum(masses)
    alarms = []
    for _ in range(1000):
        scores = np.searchsorted(upper[:-1], generator.random(190)).astype("float32")
        threshold = calibrate(scores[:100], tpr=0.9)
        alarms.append(drift_check(threshold, scores[100:], significance=0.1).drifted)
    assert np.mean(alarms) < 0.1 + 4 * np.sqrt(0.1 * 0.9 / 1000)


def test_a_drift_of_the_scores_is_found_nearly_always():
    generator = np.random.default_rng(3)
    found = []
    for _ in range(200):
        threshold = calibrate(generator.normal(size=1000))
        found.append(drift_check(threshold, generator.normal(0.5, 1, size=1000)).drifted)
    # 12.6 % are flagged instead of 5 %.
    assert np.mean(found) > 0.95


def per_class_threshold(num_images=300):
    predicted = np.arange(num_images) % 3
    return calibrate_per_class(predicted + np.linspace(0, 0.9, num_images), predicted, 4)


def test_each_predicted_class_is_checked():
    threshold = per_class_threshold()
    predicted = np.r_[np.repeat([0, 1, 2], 200), [3] * 5]
    flags = np.zeros(605, bool)
    flags[[*range(10), *range(200, 250), *range(400, 412)]] = True
    report = drift_check(threshold, flags, predicted)
    single = {i: drift_check(threshold.per_class[i], flags[predicted == i]) for i in range(3)}
    assert report.drifted and list(report.by_class) == [0, 1, 2]
    assert report.p_value == pytest.approx(3 * single[1].p_value)
    for i, part in report.by_class.items():
        assert part.p_value == single[i].p_value
        assert part.significance == pytest.approx(0.05 / 3)
        assert part.expected[0] <= single[i].expected[0]
        assert part.expected[1] >= single[i].expected[1]
    assert (report.num_images, report.num_flagged, report.num_unchecked) == (600, 72, 5)
    assert report.expected[1] == sum(part.expected[1] for part in report.by_class.values())
    assert [i for i, part in report.by_class.items() if part.drifted] == [1]
    assert report.explanation.startswith(
        "Drift: of 3 predicted classes the most unusual is 1, 50 of 200 images flagged, "
    )
    assert report.explanation.endswith("; 5 images of other classes are not checked.")


def test_false_alarms_of_all_classes_together():
    generator = np.random.default_rng(4)
    alarms = []
    for _ in range(500):
        predicted = generator.choice(3, 500, p=[0.6, 0.3, 0.1])
        scores = predicted + generator.random(500)
        threshold = calibrate_per_class(scores[:300], predicted[:300], 3, tpr=0.9)
        alarms.append(drift_check(threshold, scores[300:], predicted[300:]).drifted)
    assert np.mean(alarms) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 500)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1],), "flags of dtype bool, one per image. Received: .*dtype=int64"),
        ((np.zeros((2, 2)),), r"Received: shape=\(2, 2\)"),
        ((np.zeros(0, bool),), r"Received: shape=\(0,\)"),
        (([0.0, np.nan],), "finite"),
        ((np.zeros(2, bool), None, 1.0), "significance=1.0"),
    ],
)
def test_bad_traffic_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        drift_check(calibrate(np.arange(99.0)), *arguments)


def test_of_classes_without_a_threshold_of_their_own_nothing_is_checked():
    report = drift_check(per_class_threshold(), np.ones(5, bool), np.full(5, 3))
    assert not report.drifted and (report.num_images, report.num_unchecked) == (0, 5)
    assert report.explanation.startswith("Nothing to check: none of 5 images")


def test_traffic_of_unknown_classes_is_refused():
    threshold = per_class_threshold()
    with pytest.raises(ValueError, match="integer, of each of 5 images"):
        drift_check(threshold, np.zeros(5, bool))


@pytest.mark.parametrize("guarantee", ["average", "confidence"])
def test_evidence_is_a_martingale(guarantee):
    """Without drift the next image leaves it, on average, as it is: a fair game."""
    threshold = calibrate(np.arange(70.0), guarantee=guarantee)
    assert drift_evidence(threshold, 0, 0) == pytest.approx(1.0)
    rejected = 71 - threshold.rank
    for flagged, count in ((0, 0), (0, 9), (3, 9), (9, 9), (40, 600)):
        chance = (rejected + flagged) / (71 + count)
        now, accepted, flag = (
            drift_evidence(threshold, flagged + more, count + one)
            for more, one in ((0, 0), (0, 1), (1, 1))
        )
        assert (1 - chance) * accepted + chance * flag == pytest.approx(now, rel=1e-9)
        assert accepted < now < flag


def test_evidence_worked_by_hand():
    # n = 1, k = 1: Beta(1, 1) against Beta(c, 1): after one flag (c / (c + 1)) / (1 / 2).
    threshold = calibrate([0.0], tpr=0.5)
    factors = np.array([1.25, 1.5, 2, 4, 8, 16])
    assert drift_evidence(threshold, 1, 1) == pytest.approx(np.mean(2 * factors / (factors + 1)))
    assert drift_evidence(threshold, 0, 1) == pytest.approx(np.mean(2 / (factors + 1)))


def paths_of_evidence(share_flagged, threshold, steps=30, every=20):
    """Evidence (paths, steps) while traffic is flagged with the given shares (paths,)."""
    generator = np.random.default_rng(5)
    flagged = generator.binomial(every, share_flagged[:, None], (len(share_flagged), steps))
    evidence = functools.cache(functools.partial(drift_evidence, threshold))
    counts = every * np.arange(1, steps + 1)
    return np.array(
        [
            [evidence(int(f), int(m)) for f, m in zip(path, counts, strict=True)]
            for path in np.cumsum(flagged, axis=1)
        ]
    )


def test_evidence_may_be_looked_at_all_the_time():
    threshold = calibrate(np.arange(200.0), tpr=0.9)
    draws = np.sort(np.random.default_rng(6).random((1500, 200)), axis=1)
    quiet = paths_of_evidence(1 - draws[:, threshold.rank - 1], threshold)
    assert np.mean(quiet.max(axis=1) >= 10) < 0.1
    loud = paths_of_evidence(np.full(200, 0.25), threshold)
    assert np.mean(loud.max(axis=1) >= 20) > 0.95


def test_evidence_stays_finite_or_says_infinity():
    threshold = calibrate(np.arange(1000.0))
    assert drift_evidence(threshold, 100_000, 100_000) == np.inf
    assert 0 <= drift_evidence(threshold, 0, 100_000) < 1e-6
    for counts in ((1, 0), (-1, 3)):
        with pytest.raises(ValueError, match=f"Received: num_flagged={counts[0]}"):
            drift_evidence(threshold, *counts)


def test_windows_share_the_significance():
    assert [spent_significance(0.06, i) for i in (1, 2, 3)] == pytest.approx([0.03, 0.01, 0.005])
    assert sum(spent_significance(0.05, i) for i in range(1, 10_000)) < 0.05
    with pytest.raises(ValueError, match="Received: window=0"):
        spent_significance(0.05, 0)


def test_windows_together_raise_no_more_false_alarms_than_stated():
    generator = np.random.default_rng(7)
    threshold = calibrate(np.arange(100.0), tpr=0.9)
    share = np.sort(generator.random((4000, 100)), axis=1)[:, threshold.rank - 1]
    p_values = np.array([report_of(threshold, f, 200).p_value for f in range(201)])
    flagged = generator.binomial(200, 1 - share[:, None], (4000, 20))
    naive = p_values[flagged] <= 0.05
    levels = [spent_significance(0.05, i) for i in range(1, 21)]
    assert np.mean(naive.any(axis=1)) > 0.1, "twenty tests at 5 % each are not one at 5 %"
    assert np.mean((p_values[flagged] <= levels).any(axis=1)) < 0.05
