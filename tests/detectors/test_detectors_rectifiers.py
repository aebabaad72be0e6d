"""Rectifiers against numbers worked by hand, alone and in front of other detectors."""

import linear_network
import numpy as np
import pytest
from detector_examples import LABELS, OUTPUTS_IN, TRAINING
from detector_head import HEAD
from sklearn.base import clone

from kerasood.detectors import (
    ASHB,
    ASHP,
    ASHS,
    DETECTORS,
    DICE,
    GEN,
    MSP,
    ODIN,
    SCALE,
    Energy,
    Mahalanobis,
    OpenMax,
    ReAct,
)
from kerasood.detectors._math.largest import kept_count, largest_mask
from kerasood.detectors.saving import load_detector, save_detector
from kerasood.evaluation.choosing import FitData, Validation, choose
from kerasood.evaluation.outputs import collect
from kerasood.extractor.input_gradient import SteppedExtractor

IDENTITY = np.eye(4), np.zeros(4)
FEATURES = np.array([[1.0, 4.0, 3.0, 2.0]], "float32")


def outputs_of(features, head=HEAD):
    logits = features.astype("float64") @ head[0] + head[1]
    return {"features": features, "logits": logits.astype("float32")}


def test_react_clips_at_a_percentile_of_all_activations():
    features = np.arange(12, dtype="float32").reshape(3, 4)
    detector = ReAct(percentile=90).fit({"features": features}, head=IDENTITY)
    # 0.9 of the way from the first to the twelfth value.
    assert detector.threshold_ == np.float32(9.9)
    expected = -np.log(np.exp(8) + np.exp(9) + 2 * np.exp(9.9))
    np.testing.assert_allclose(detector.score({"features": features[2:]}), [expected], rtol=1e-6)


def test_dice_keeps_the_weights_that_contribute_most():
    features, kernel = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[1.0, -3.0], [2.0, 1.0]])
    # Mean features 1 and 2: contributions 1 and -3, 4 and 2.
    detector = DICE(sparsity=0.5).fit({"features": features}, head=(kernel, np.array([0.5, 0.0])))
    np.testing.assert_array_equal(detector.kernel_, [[0, 0], [2, 1]])
    expected = -np.log(np.exp(2 * 3 + 0.5) + np.exp(1 * 3))
    np.testing.assert_allclose(detector.score({"features": features})[1], expected, rtol=1e-6)


def test_dice_keeps_the_first_of_equal_contributions_and_at_least_one():
    head = np.ones((3, 2)), np.zeros(2)
    detector = DICE(sparsity=0.5).fit({"features": np.ones((2, 3))}, head=head)
    np.testing.assert_array_equal(detector.kernel_, [[1, 1], [1, 0], [0, 0]])
    detector = DICE(sparsity=0.99).fit({"features": np.ones((2, 3))}, head=head)
    np.testing.assert_array_equal(detector.kernel_, [[1, 0], [0, 0], [0, 0]])


@pytest.mark.parametrize(
    ("detector", "expected"),
    [
        (ASHP(50), [0, 4, 3, 0]),
        (ASHB(50), [0, 5, 5, 0]),
        (ASHS(50), np.exp(10 / 7) * np.array([0, 4, 3, 0])),
        (SCALE(50), np.exp(10 / 7) * np.array([1, 4, 3, 2])),
        (ASHP(90), [0, 4, 0, 0]),
        (ASHB(90), [0, 10, 0, 0]),
        (ASHS(90), np.exp(10 / 4) * np.array([0, 4, 0, 0])),
        (SCALE(90), np.exp(10 / 4) * np.array([1, 4, 3, 2])),
    ],
)
def test_shaped_activations_worked_by_hand(detector, expected):
    np.testing.assert_allclose(detector.rectify(FEATURES), [expected], rtol=1e-6)
    scores = detector.fit({"features": FEATURES}, head=IDENTITY).score({"features": FEATURES})
    np.testing.assert_allclose(scores, [-np.logaddexp.reduce(expected)], rtol=1e-6)


def test_of_equal_activations_the_first_stay():
    features = np.array([[2.0, 0.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]], "float32")
    np.testing.assert_array_equal(ASHP(50).rectify(features), [[2, 0, 2, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(ASHB(50).rectify(features), [[3, 0, 3, 0], [0, 0, 0, 0]])
    for detector in (ASHS(50), SCALE(50)):
        np.testing.assert_array_equal(detector.rectify(features)[1], np.zeros(4))


def test_exactly_as_many_are_marked_as_asked_for():
    rows = np.random.default_rng(0).integers(0, 4, (50, 9)).astype("float32")
    for count in (1, 4, 9):
        mask, values = map(np.asarray, largest_mask(rows, count))
        assert mask.dtype == bool
        np.testing.assert_array_equal(np.sort(values, axis=1).ravel(), np.sort(
            np.where(mask, rows, -1), axis=1)[:, -count:].ravel())
        np.testing.assert_array_equal(mask.sum(axis=1), np.full(50, count))
        smallest_in = np.where(mask == 1, rows, 9).min(axis=1)
        assert np.all(np.where(mask == 0, rows, 0).max(axis=1) <= smallest_in)


@pytest.mark.parametrize(
    ("num_features", "percentile", "kept"),
    [(128, 90, 13), (128, 65, 45), (10, 95, 1), (10, 99, 1), (512, 0, 512)],
)
def test_the_kept_activations_are_counted_as_in_the_released_code(num_features, percentile, kept):
    assert kept_count(num_features, percentile) == kept


def test_features_of_both_signs_keep_scores_finite():
    features = np.array([[1.0, -5.0, -5.0, 4.0], [1e-6, -1.0, -2.0, 1e-6], [-1, -1, -2, -3]], "f4")
    for name in ("react", "dice", "ash_p", "ash_b", "ash_s", "scale"):
        detector = DETECTORS[name]().fit({"features": features}, head=IDENTITY)
        assert np.isfinite(detector.score({"features": 1000 * features})).all(), name


@pytest.mark.parametrize(
    "detector", [ReAct(100), DICE(0.0), ASHP(0)], ids=["ReAct", "DICE", "ASHP"]
)
def test_rectifiers_that_change_nothing_leave_the_energy(detector):
    scores = detector.fit(TRAINING, head=HEAD).score(TRAINING)
    np.testing.assert_allclose(scores, Energy().score(TRAINING), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "inner", [MSP(), Energy(2.0), GEN(), Mahalanobis(), OpenMax()], ids=lambda d: type(d).__name__
)
def test_the_inner_detector_sees_rectified_outputs_alone(inner, tmp_path):
    detector = ReAct(percentile=70, detector=inner).fit(TRAINING, LABELS, HEAD)
    threshold = np.percentile(TRAINING["features"].astype("float64"), 70)
    clipped = outputs_of(np.minimum(TRAINING["features"], np.float32(threshold)))
    clipped_in = outputs_of(np.minimum(OUTPUTS_IN["features"], np.float32(threshold)))
    expected = clone(inner).fit(clipped, LABELS).score(clipped_in)
    np.testing.assert_allclose(detector.score(OUTPUTS_IN), expected, rtol=1e-3, atol=1e-4)
    assert detector.needs_labels == inner.needs_labels
    save_detector(tmp_path / "detector.npz", detector)
    loaded = load_detector(tmp_path / "detector.npz")
    np.testing.assert_array_equal(loaded.score(OUTPUTS_IN), detector.score(OUTPUTS_IN))


def test_react_and_dice_together_do_both(tmp_path):
    both = ReAct(percentile=70, detector=DICE(0.5, MSP())).fit(TRAINING, head=HEAD)
    threshold = np.percentile(TRAINING["features"].astype("float64"), 70)
    clipped = np.minimum(TRAINING["features"], np.float32(threshold))
    sparse = DICE(0.5, MSP()).fit({"features": clipped}, head=HEAD)
    expected = sparse.score({"features": np.minimum(OUTPUTS_IN["features"], both.threshold_)})
    np.testing.assert_allclose(both.score(OUTPUTS_IN), expected, rtol=1e-5)
    save_detector(tmp_path / "both.npz", both)
    loaded = load_detector(tmp_path / "both.npz")
    np.testing.assert_array_equal(loaded.score(OUTPUTS_IN), both.score(OUTPUTS_IN))


def test_parameters_of_the_inner_detector_are_reached_by_name():
    detector = ReAct(detector=Energy())
    assert detector.get_params()["detector__temperature"] == 1.0
    detector.set_params(detector__temperature=3.0, percentile=80)
    copy = clone(detector)
    assert copy.detector is not detector.detector
    assert copy.get_params()["detector__temperature"] == 3.0
    assert ReAct().detector is None
    scores = copy.fit(TRAINING, head=HEAD).score(OUTPUTS_IN)
    assert np.abs(scores - ReAct(80).fit(TRAINING, head=HEAD).score(OUTPUTS_IN)).min() > 1e-3


def test_the_inner_detector_given_stays_unfitted():
    inner = Mahalanobis()
    detector = ReAct(detector=inner).fit(TRAINING, LABELS, HEAD)
    assert vars(inner) == {"magnitude": 0.0}
    assert detector.detector_ is not inner


def linear_fitting(extractor):
    outputs = collect(extractor, [linear_network.images(60, seed=1)])
    head = linear_network.KERNEL, linear_network.BIAS
    return FitData(outputs, outputs["logits"].argmax(axis=1), head)


def test_a_step_of_the_inner_detector_goes_through_the_rectifier():
    extractor = linear_network.extractor()
    fitting = linear_fitting(extractor)
    detector = ReAct(60, ODIN(10.0, 0.01)).fit(fitting.outputs, None, fitting.head)
    assert detector.input_step == 0.01
    images = linear_network.images(8, seed=4)
    stepped = SteppedExtractor(extractor, detector.input_loss, detector.input_step)
    features, logits = linear_network.forward(images.astype("float64"))
    threshold = float(detector.threshold_)
    clipped_logits = np.minimum(features, threshold) @ linear_network.KERNEL + linear_network.BIAS
    scaled = np.exp(clipped_logits / 10)
    probabilities = scaled / scaled.sum(axis=1, keepdims=True)
    predicted = np.eye(4)[clipped_logits.argmax(axis=1)]
    # The predicted class's cross-entropy at T = 10; clipped activations pass no gradient.
    of_features = (probabilities - predicted) / 10 @ linear_network.KERNEL.T
    of_features *= features < threshold
    moved = linear_network.reference_step(images.astype("float64"), of_features, 0.01)
    expected = linear_network.forward(moved)[0]
    np.testing.assert_allclose(
        stepped.predict(images, verbose=0)["features"], expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("inner", [None, ODIN(10.0, 0.01)], ids=["energy", "odin"])
def test_the_rectifier_s_parameter_is_chosen_and_the_inner_ones_stay(inner):
    extractor = linear_network.extractor()
    validation = Validation(extractor, linear_network.images(20, seed=3), batch_size=8)
    chosen = choose(ReAct(detector=inner), linear_fitting(extractor), validation)
    tried = [point["percentile"] for point in chosen.choice_["tried"]]
    assert tried == list(ReAct.GRID["percentile"])
    assert chosen.percentile == chosen.choice_["chosen"]["percentile"]
    if inner is not None:
        assert vars(chosen.detector_) == {"temperature": 10.0, "magnitude": 0.01}


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        (ReAct(-1), r"percentile in \[0, 100\]. Received: -1"),
        (ReAct(101), r"percentile in \[0, 100\]. Received: 101"),
        (DICE(1.0), r"sparsity in \[0, 1\). Received: 1.0"),
        (ASHP(100), r"percentile in \[0, 100\). Received: 100"),
        (SCALE(-5), r"percentile in \[0, 100\). Received: -5"),
        (ReAct(detector="energy"), "Expected a Detector, or None.* Received: 'energy'"),
    ],
)
def test_parameters_out_of_range_are_refused_before_the_work(detector, message):
    with pytest.raises(ValueError, match=message):
        detector.fit(TRAINING, head=HEAD)
