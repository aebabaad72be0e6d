import json
import math

import numpy as np
import pytest
from scipy import stats

from kerasood.thresholds import Threshold, calibrate, realised_rate


def test_worked_by_hand():
    # n = 19: k = ceil(20 * 0.9) = 18, so the threshold is halfway between 18 and 19.
    threshold = calibrate(np.arange(1, 20), tpr=0.9)
    assert (threshold.value, threshold.rank, threshold.num_images) == (18.5, 18, 19)
    assert threshold.interval[0] == pytest.approx(stats.beta.ppf(0.025, 18, 2), abs=1e-12)
    assert threshold.interval[1] == pytest.approx(stats.beta.ppf(0.975, 19, 1), abs=1e-12)
    # Beta(19, 1) has the distribution function x ** 19.
    assert threshold.interval[1] == pytest.approx(0.975 ** (1 / 19), abs=1e-12)


def test_smallest_calibration_set_takes_the_largest_score():
    threshold = calibrate(np.arange(19.0))
    assert (threshold.value, threshold.rank) == (18.0, 19)
    assert threshold.interval[1] == 1.0
    assert threshold.interval_for(7)[1] == 1.0


@pytest.mark.parametrize(
    ("num_images", "tpr", "rank"),
    [(19, 0.95, 19), (99, 0.95, 95), (999, 0.95, 950), (9, 0.7, 7), (99, 0.29, 29)],
)
def test_rank_is_exact_where_floats_are_not(num_images, tpr, rank):
    assert calibrate(np.arange(float(num_images)), tpr).rank == rank


@pytest.mark.parametrize(
    ("num_images", "tpr", "needed"), [(18, 0.95, 19), (98, 0.99, 99), (1, 0.6, 2)]
)
def test_too_few_images(num_images, tpr, needed):
    with pytest.raises(ValueError, match=rf"at least {needed} images. Received: .*{num_images}"):
        calibrate(np.arange(float(num_images)), tpr)
    assert calibrate(np.arange(float(needed)), tpr).rank == needed


@pytest.mark.parametrize("bad", [[], [[1.0, 2.0]], [1.0, math.nan], [math.inf, 0.0], [1e300, 0.0]])
def test_bad_scores_are_refused(bad):
    with pytest.raises(ValueError, match="Received: "):
        calibrate(bad, tpr=0.5)


@pytest.mark.parametrize("argument", ["tpr", "confidence"])
@pytest.mark.parametrize("value", [0, 1, -0.5, math.nan])
def test_impossible_shares_are_refused(argument, value):
    with pytest.raises(ValueError, match=rf"Received: {argument}={value}"):
        calibrate(np.arange(50.0), **{argument: value})


def test_ties_are_all_accepted_and_counted():
    scores = np.r_[np.arange(10.0), np.full(15, 20.0), np.arange(30, 35)]
    threshold = calibrate(scores, tpr=0.5)
    assert (threshold.value, threshold.rank) == (25.0, 25)
    assert realised_rate(scores, threshold) == 25 / 30
    assert threshold.interval[0] < 25 / 30 < threshold.interval[1]


def test_one_constant_score_is_accepted():
    threshold = calibrate(np.full(40, -3.5))
    assert (threshold.value, threshold.rank, threshold.interval[1]) == (-3.5, 40, 1.0)
    assert realised_rate(np.full(5, -3.5), threshold) == 1.0


@pytest.mark.parametrize("seed", range(10))
def test_value_is_a_float32_that_separates_the_same_images(seed):
    generator = np.random.default_rng(seed)
    scores = (-1 - 1e-6 * generator.random(200)).astype(np.float32)
    threshold = calibrate(scores, tpr=0.8)
    assert float(np.float32(threshold.value)) == threshold.value
    assert np.sum(scores <= np.float32(threshold.value)) == threshold.rank
    assert np.sum(scores.astype(np.float64) <= threshold.value) == threshold.rank


def test_neighbouring_floats_are_still_separated():
    low = np.float32(1.0)
    high = np.nextafter(low, np.float32(2))
    higher = np.nextafter(high, np.float32(2))
    for pair in ((low, high), (high, higher)):
        threshold = calibrate(np.r_[[pair[0]] * 5, [pair[1]] * 4], tpr=0.5)
        assert (threshold.value, threshold.rank) == (pair[0], 5)


def test_threshold_is_clear_of_rounding_noise():
    scores = np.arange(100.0)
    threshold = calibrate(scores)
    noise = np.random.default_rng(0).uniform(-0.49, 0.49, 100)
    assert realised_rate(scores + noise, threshold) == realised_rate(scores, threshold)


def test_realised_share_is_inside_the_interval_as_often_as_stated():
    # Scores are uniform, so the share of all ID images accepted is the threshold's own value.
    generator = np.random.default_rng(0)
    thresholds = [calibrate(generator.random(199), confidence=0.8) for _ in range(2000)]
    shares = np.array([threshold.value for threshold in thresholds])
    low, high = np.array([threshold.interval for threshold in thresholds]).T
    inside = np.mean((low <= shares) & (shares <= high))
    # 0.8 within the beta distribution's interval, more since the threshold may lie a gap higher.
    assert 0.78 < inside < 0.9
    assert np.mean(shares) > 0.95
    assert np.mean(shares) == pytest.approx(190.5 / 200, abs=0.002)


def test_realised_rate_of_fresh_images_is_inside_as_often_as_stated():
    generator = np.random.default_rng(1)
    inside = []
    for _ in range(1000):
        threshold = calibrate(generator.random(299), confidence=0.8)
        low, high = threshold.interval_for(100)
        inside.append(low <= realised_rate(generator.random(100), threshold) <= high)
    # The rate is a multiple of 1 / 100, so the interval must cover somewhat more than stated.
    assert 0.78 < np.mean(inside) < 0.95


@pytest.mark.parametrize("num_fresh", [1, 50, 5000])
def test_interval_for_fresh_images_is_beta_binomial(num_fresh):
    threshold = calibrate(np.arange(999.0), confidence=0.8)
    low, high = threshold.interval_for(num_fresh)
    assert low * num_fresh == pytest.approx(stats.betabinom.ppf(0.1, num_fresh, 950, 50))
    assert high * num_fresh == pytest.approx(stats.betabinom.ppf(0.9, num_fresh, 951, 49))


def test_interval_for_many_fresh_images_approaches_the_interval():
    threshold = calibrate(np.arange(5000.0))
    small, large = threshold.interval_for(1000), threshold.interval_for(1_000_000)
    low, high = threshold.interval
    assert small[0] < large[0] <= low < high <= large[1] < small[1]
    assert large == pytest.approx(threshold.interval, abs=2e-4)


def test_interval_for_no_images_is_refused():
    with pytest.raises(ValueError, match="num_images=0"):
        calibrate(np.arange(50.0)).interval_for(0)


def test_higher_tpr_never_lowers_the_threshold():
    scores = np.random.default_rng(2).normal(size=500)
    values = [calibrate(scores, tpr).value for tpr in (0.5, 0.8, 0.9, 0.95, 0.99)]
    assert values == sorted(values)


def test_json_round_trip():
    threshold = calibrate(np.random.default_rng(3).normal(size=100))
    assert Threshold.from_json(json.loads(json.dumps(threshold.to_json()))) == threshold


@pytest.mark.parametrize(
    "change", [{"value": 0.1}, {"value": math.nan}, {"extra": 1}, {"rank": None, "tpr": None}]
)
def test_damaged_json_is_refused(change):
    content = {**calibrate(np.arange(50.0)).to_json(), **change}
    if change.get("rank", 0) is None:
        del content["rank"]
    with pytest.raises(ValueError, match="Received: "):
        Threshold.from_json(content)


def test_realised_rate_refuses_nan():
    with pytest.raises(ValueError, match=r"scores\[0\]=nan"):
        realised_rate([math.nan], calibrate(np.arange(50.0)))


def test_a_few_scores_are_kept_and_say_what_is_like_them():
    # Scores 1..17: every second is kept; ceil(18 * 0.9) = 17 are accepted.
    threshold = calibrate(np.arange(17, 0, -1.0), tpr=0.9)
    assert threshold.scores == (1, 3, 5, 7, 9, 11, 13, 15, 17)
    assert Threshold.from_json(threshold.to_json()) == threshold
    assert threshold.covers([0.5, 2.0]) and not threshold.covers([-900, 17.5, np.nan])
    assert calibrate([1.0, 2.0], tpr=0.5).scores == (1, 2)


@pytest.mark.parametrize("scores", [[3.0, 1.0], [1.0, 2.0, 3.0], [1.0] * 9])
def test_scores_that_no_calibration_keeps_are_refused(scores):
    content = calibrate(np.arange(17.0), tpr=0.5).to_json()
    with pytest.raises(ValueError, match="Expected scores of a calibration with rank=9"):
        Threshold.from_json({**content, "scores": scores})
