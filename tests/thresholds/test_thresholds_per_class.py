import json

import numpy as np
import pytest

from kerasood.thresholds import (
    PerClassThreshold,
    calibrate,
    calibrate_per_class,
    predicted_classes,
    read_threshold,
    realised_rate,
)


@pytest.fixture
def three_classes():
    """Scores 0..99 in class 0, 1000..1099 in class 1, and three images in class 2."""
    scores = np.r_[np.arange(100.0), 1000 + np.arange(100.0), 5.0, 6.0, 7.0]
    return scores, np.repeat([0, 1, 2], [100, 100, 3])


def test_worked_by_hand(three_classes):
    scores, predicted = three_classes
    threshold = calibrate_per_class(scores, predicted, 4, tpr=0.9)
    # k = ceil(101 * 0.9) = 91 of 100, halfway to the next; the pooled k is ceil(204 * 0.9) = 184.
    assert threshold.value.tolist() == [90.5, 1090.5, 1080.5, 1080.5]
    assert threshold.value.dtype == np.float32
    assert threshold.fallback == (2, 3)
    assert threshold.num_predicted == (100, 100, 3, 0)
    assert threshold.pooled == calibrate(scores, tpr=0.9)
    assert realised_rate(scores, threshold, predicted) == (91 + 91 + 3) / 203
    flags = ~threshold.accepts([91.0, 91.0, 2000.0], [0, 1, 3])
    assert flags.tolist() == [True, False, True]


def test_classes_without_enough_images_are_named(three_classes):
    scores, predicted = three_classes
    promise = calibrate_per_class(scores, predicted, 4, tpr=0.9).promise
    assert "of each predicted class on average over calibrations, except" in promise
    assert promise.endswith("fewer than 9 calibration images, which use the pooled threshold "
                            "1080.5: 2 (3), 3 (0)")
    enough = calibrate_per_class(scores[:200], predicted[:200], 2, guarantee="confidence")
    assert enough.promise.endswith("predicted class with 95% confidence for each")
    assert enough.fallback == ()


def test_the_pooled_threshold_needs_enough_images_too():
    with pytest.raises(ValueError, match="at least 59 images. Received: scores_in with 58"):
        calibrate_per_class(np.arange(58.0), np.arange(58) % 2, 2, guarantee="confidence")


@pytest.mark.parametrize("guarantee", ["average", "confidence"])
def test_the_promise_holds_for_each_predicted_class(guarantee):
    # Class c has scores uniform on [c, c + 1]: the share accepted is the threshold minus c.
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        predicted = generator.choice(3, 400, p=[0.5, 0.3, 0.2])
        scores = predicted + generator.random(400)
        threshold = calibrate_per_class(scores, predicted, 3, 0.9, 0.8, guarantee)
        shares.append(threshold.value - np.arange(3))
    shares = np.array(shares)
    assert np.all(shares.mean(axis=0) > 0.9)
    if guarantee == "confidence":
        assert np.all(np.mean(shares >= 0.9, axis=0) > 0.8 - 4 * np.sqrt(0.8 * 0.2 / 400))
    # One threshold for all accepts none of that: all of classes 0 and 1, half of class 2.
    assert calibrate(scores, 0.9).value == pytest.approx(2.5, abs=0.15)


def test_json_round_trip(three_classes):
    scores, predicted = three_classes
    threshold = calibrate_per_class(scores, predicted, 4, guarantee="confidence")
    content = json.loads(json.dumps(threshold.to_json()))
    assert read_threshold(content) == PerClassThreshold.from_json(content) == threshold
    pooled = calibrate(scores)
    assert read_threshold(json.loads(json.dumps(pooled.to_json()))) == pooled


@pytest.mark.parametrize(
    "change",
    [{"extra": 1}, {"per_class": [None]}, {"pooled": {}}, {"per_class": [{"value": 1.0}] * 4}],
)
def test_damaged_json_is_refused(three_classes, change):
    content = {**calibrate_per_class(*three_classes, 4).to_json(), **change}
    with pytest.raises(ValueError, match="Received: "):
        read_threshold(content)


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        (None, "integer, of each of 50 images. Received: .*shape="),
        (np.zeros(49, int), r"Received: predicted with shape=\(49,\)"),
        (np.zeros(50), "dtype=float64"),
        (np.full(50, 2), r"in \[0, 2\). Received: classes from 2 to 2"),
        (np.full(50, -1), "classes from -1 to -1"),
    ],
)
def test_bad_classes_are_refused(predicted, message):
    scores = np.arange(50.0)
    with pytest.raises(ValueError, match=message):
        calibrate_per_class(scores, predicted, 2)
    threshold = calibrate_per_class(scores, np.zeros(50, int), 2)
    with pytest.raises(ValueError, match=message):
        realised_rate(scores, threshold, predicted)


def test_of_equal_logits_the_first_class_is_predicted():
    assert predicted_classes([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]).tolist() == [1, 0]
    # They are compared in float32, like served ones.
    assert predicted_classes([[1.0, 1.0 + 1e-9]]).tolist() == [0]
