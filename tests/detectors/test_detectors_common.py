"""The contract that every entry of DETECTORS keeps; a new detector needs a line in TWINS."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
from detector_examples import (
    LABELS,
    OUTPUTS_IN,
    OUTPUTS_OUT,
    TRAINING,
    example_outputs,
    fitted,
    taken,
    tolerances,
)
from detector_head import HEAD, NUM_CLASSES
from detector_twins_features import TWINS as FEATURE_TWINS
from detector_twins_logits import TWINS as TWINS_LOGITS
from sklearn.base import clone
from tflite_scores import tflite_scores

from kerasood import detectors, metrics
from kerasood.detectors import DETECTORS, Detector
from kerasood.detectors.checks import CLASS_OUTPUTS
from kerasood.detectors.saving import load_detector, save_detector


def naive_msp(logits):
    exponentials = np.exp(logits)
    return -(exponentials / exponentials.sum(axis=1, keepdims=True)).max(axis=1)


def naive_mahalanobis(fitted, labels, outputs):
    features = fitted["features"].astype("float64")
    means = [features[labels == label].mean(axis=0) for label in range(NUM_CLASSES)]
    centred = np.concatenate([features[labels == k] - means[k] for k in range(NUM_CLASSES)])
    precision = np.linalg.inv(centred.T @ centred / len(centred))
    distances = [
        [0.5 * (x - mean) @ precision @ (x - mean) for mean in means] for x in outputs["features"]
    ]
    return np.min(distances, axis=1)


# Naive float64 twins: fitting outputs and labels, then outputs to score.
TWINS = {
    "msp": lambda fitted, labels, outputs: naive_msp(outputs["logits"]),
    "max_logit": lambda fitted, labels, outputs: -outputs["logits"].max(axis=1),
    "energy": lambda fitted, labels, outputs: -np.log(np.exp(outputs["logits"]).sum(axis=1)),
    "odin": lambda fitted, labels, outputs: naive_msp(outputs["logits"] / 1000),
    "mahalanobis": naive_mahalanobis,
}
TWINS |= TWINS_LOGITS
TWINS |= FEATURE_TWINS


def subclasses(parent):
    """The concrete classes below a class."""
    for child in parent.__subclasses__():
        if not inspect.isabstract(child):
            yield child
        yield from subclasses(child)


def test_the_table_holds_every_detector_of_the_package():
    exported = [getattr(detectors, exported_name) for exported_name in detectors.__all__]
    classes = {member for member in exported if inspect.isclass(member)} - {Detector}
    ours = {c for c in subclasses(Detector) if c.__module__.startswith("kerasood.")}
    assert set(DETECTORS.values()) == classes == ours
    assert TWINS.keys() == DETECTORS.keys()


def test_scores_are_one_finite_float32_per_image(detector):
    scores = detector.score(OUTPUTS_IN)
    assert scores.shape == (30,)
    assert np.asarray(scores).dtype == np.float32
    assert np.isfinite(scores).all()


def test_scores_are_higher_for_images_without_evidence(name):
    labels = np.arange(1000) % NUM_CLASSES
    detector = fitted(name, example_outputs(labels, seed=0), labels)
    scores_in, scores_out = detector.score(OUTPUTS_IN), detector.score(OUTPUTS_OUT)
    assert np.mean(scores_out) > np.mean(scores_in)
    assert metrics.auroc(scores_in, scores_out) > 0.9


def test_auroc_depends_on_the_order_of_the_scores_alone(detector):
    scores_in = np.asarray(detector.score(OUTPUTS_IN), "float64")
    scores_out = np.asarray(detector.score(OUTPUTS_OUT), "float64")
    assert metrics.auroc(np.exp(scores_in), np.exp(scores_out)) == metrics.auroc(
        scores_in, scores_out
    )


def test_scores_equal_the_float64_twin(name, detector):
    for outputs in (OUTPUTS_IN, OUTPUTS_OUT):
        precise = {key: values.astype("float64") for key, values in outputs.items()}
        expected = TWINS[name](TRAINING, LABELS, precise)
        np.testing.assert_allclose(detector.score(outputs), expected, **tolerances(detector))


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_tensors_and_compiled_graphs_score_as_arrays_do(detector, how):
    score = detector.score
    if how != "eager":
        signature = {
            key: tf.TensorSpec((None, *values.shape[1:]), tf.float32)
            for key, values in OUTPUTS_IN.items()
        }
        score = tf.function(score, input_signature=[signature], jit_compile=how == "xla")
    tensors = {key: tf.constant(values) for key, values in OUTPUTS_IN.items()}
    np.testing.assert_allclose(
        score(tensors), detector.score(OUTPUTS_IN), **tolerances(detector)
    )


def test_tflite_of_builtin_ops_scores_as_arrays_do(detector, tmp_path):
    scores = tflite_scores(detector, OUTPUTS_IN, tmp_path / "score.tflite")
    np.testing.assert_allclose(scores, detector.score(OUTPUTS_IN), rtol=1e-4, atol=1e-5)


def test_an_image_scores_the_same_alone_and_in_any_batch(detector):
    scores = np.asarray(detector.score(OUTPUTS_IN))
    reverse = detector.score(taken(OUTPUTS_IN, slice(None, None, -1)))
    np.testing.assert_allclose(reverse, scores[::-1], **tolerances(detector))
    alone = detector.score(taken(OUTPUTS_IN, slice(7, 8)))
    np.testing.assert_allclose(alone, scores[7:8], **tolerances(detector))


def test_outputs_of_low_precision_give_float32_scores(detector):
    coarse = {key: tf.cast(values, tf.bfloat16) for key, values in OUTPUTS_IN.items()}
    scores = detector.score(coarse)
    assert scores.dtype == tf.float32
    same_values = {key: tf.cast(values, tf.float32) for key, values in coarse.items()}
    np.testing.assert_allclose(scores, detector.score(same_values), rtol=1e-6, atol=1e-6)


def test_refitting_forgets_the_first_fit(name, detector):
    others, other_labels = example_outputs(LABELS[10:150], seed=3), LABELS[10:150]
    fresh = fitted(name, others, other_labels)
    refitted = detector.fit(others, other_labels, HEAD)
    assert refitted is detector
    np.testing.assert_array_equal(refitted.score(OUTPUTS_IN), fresh.score(OUTPUTS_IN))


def test_fit_and_score_leave_outputs_and_parameters_alone(name):
    detector = DETECTORS[name]()
    parameters = detector.get_params()
    outputs = {key: values.copy() for key, values in TRAINING.items()}
    detector.fit(outputs, LABELS, HEAD).score(outputs)
    assert detector.get_params() == parameters
    for key, values in outputs.items():
        np.testing.assert_array_equal(values, TRAINING[key])


def test_only_fit_writes_attributes_and_they_end_in_an_underscore(name):
    detector = DETECTORS[name]()
    assert vars(detector) == detector.get_params(deep=False)
    learned = vars(detector.fit(TRAINING, LABELS, HEAD)).keys() - detector.get_params(False).keys()
    assert all(attribute.endswith("_") for attribute in learned)
    assert bool(learned) == detector.learns


def test_a_clone_has_the_parameters_and_none_of_the_fit(name, detector):
    changed = {key: 2.0 for key in detector.get_params() if key == "temperature"}
    copy = clone(detector.set_params(**changed))
    assert copy is not detector
    assert {key: str(value) for key, value in copy.get_params().items()} == {
        key: str(value) for key, value in detector.get_params().items()
    }
    assert vars(copy).keys() == copy.get_params(deep=False).keys()
    refitted = copy.fit(TRAINING, LABELS, HEAD).score(OUTPUTS_IN)
    expected = clone(detector).fit(TRAINING, LABELS, HEAD).score(OUTPUTS_IN)
    np.testing.assert_array_equal(refitted, expected)


def test_what_is_not_fitted_does_not_score(name):
    detector = DETECTORS[name]()
    if detector.learns:
        with pytest.raises(ValueError, match="not fitted"):
            detector.score(OUTPUTS_IN)
    else:
        expected = fitted(name).score(OUTPUTS_IN)
        np.testing.assert_array_equal(detector.score(OUTPUTS_IN), expected)


def test_saved_and_read_back(name, detector, tmp_path):
    save_detector(tmp_path / "detector.npz", detector)
    loaded = load_detector(tmp_path / "detector.npz")
    assert type(loaded) is type(detector)
    assert str(loaded.get_params()) == str(detector.get_params())
    np.testing.assert_array_equal(loaded.score(OUTPUTS_IN), detector.score(OUTPUTS_IN))


def test_fitting_asks_for_what_it_needs(name):
    detector = DETECTORS[name]()
    if detector.needs_labels:
        with pytest.raises(ValueError, match="labels.* Received: None"):
            detector.fit(TRAINING, None, HEAD)
    if detector.needs_head:
        with pytest.raises(ValueError, match="head's weights.* Received: None"):
            detector.fit(TRAINING, LABELS)
    if detector.learns:
        broken = {key: values.copy() for key, values in TRAINING.items()}
        for values in broken.values():
            values[3, 0] = np.nan
        with pytest.raises(ValueError, match="finite"):
            detector.fit(broken, LABELS, HEAD)
        with pytest.raises(ValueError, match="Received: none"):
            detector.fit({}, LABELS, HEAD)


def test_grids_hold_the_default_among_values_of_parameters(name):
    detector = DETECTORS[name]()
    for parameter, values in detector.GRID.items():
        assert detector.get_params()[parameter] in values
        assert len(set(values)) == len(values) > 1


def test_two_classes_are_enough(name):
    labels = LABELS % 2
    outputs = TRAINING | {key: TRAINING[key][:, :2] for key in CLASS_OUTPUTS}
    head = HEAD[0][:, :2], HEAD[1][:2]
    scores = DETECTORS[name]().fit(outputs, labels, head).score(outputs)
    assert np.isfinite(scores).all() and np.ptp(scores) > 0


def test_a_class_without_images_and_constant_features_do_no_harm(name):
    rows = LABELS != 2
    constant = np.full((len(LABELS), 2), 3.0, "float32")
    features = np.concatenate([TRAINING["features"], constant], axis=1)
    head = np.vstack([HEAD[0], np.zeros((2, NUM_CLASSES))]), HEAD[1]
    outputs = taken({**TRAINING, "features": features}, rows)
    scores = DETECTORS[name]().fit(outputs, LABELS[rows], head).score(outputs)
    assert np.isfinite(scores).all() and np.ptp(scores) > 0
