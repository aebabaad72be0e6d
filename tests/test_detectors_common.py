"""The contract that every entry of DETECTORS keeps; a new detector needs a line in TWINS."""

import inspect
import re

import numpy as np
import pytest
import tensorflow as tf
from sklearn.base import clone

from kerasood import detectors, metrics
from kerasood.detectors import DETECTORS, Detector

NUM_CLASSES, NUM_FEATURES = 4, 6


def naive_msp(logits):
    exponentials = np.exp(logits)
    return -(exponentials / exponentials.sum(axis=1, keepdims=True)).max(axis=1)


# Naive float64 twins: fitting outputs and labels, then outputs to score.
TWINS = {
    "msp": lambda fitted, labels, outputs: naive_msp(outputs["logits"]),
    "max_logit": lambda fitted, labels, outputs: -outputs["logits"].max(axis=1),
    "energy": lambda fitted, labels, outputs: -np.log(np.exp(outputs["logits"]).sum(axis=1)),
}


def example_outputs(labels, seed):
    """Outputs of images of known classes; label -1 gives OOD images, of small random features."""
    generator = np.random.default_rng(seed)
    directions = np.vstack([4 * np.eye(NUM_CLASSES, NUM_FEATURES), np.zeros(NUM_FEATURES)])
    features = np.abs(directions[labels] + generator.normal(0, 0.5, (len(labels), NUM_FEATURES)))
    logits = features[:, :NUM_CLASSES] * 2 - features[:, NUM_CLASSES:].sum(axis=1, keepdims=True)
    return {"features": features.astype("float32"), "logits": logits.astype("float32")}


LABELS = np.arange(60) % NUM_CLASSES
TRAINING = example_outputs(LABELS, seed=0)
OUTPUTS_IN = example_outputs(LABELS[:30], seed=1)
OUTPUTS_OUT = example_outputs(np.full(20, -1), seed=2)


@pytest.fixture(params=DETECTORS)
def name(request):
    return request.param


@pytest.fixture
def detector(name):
    return DETECTORS[name]().fit(TRAINING, LABELS)


def taken(outputs, rows):
    return {key: values[rows] for key, values in outputs.items()}


def test_the_table_holds_every_detector_of_the_package():
    exported = [getattr(detectors, exported_name) for exported_name in detectors.__all__]
    classes = {member for member in exported if inspect.isclass(member)} - {Detector}
    ours = {c for c in Detector.__subclasses__() if c.__module__.startswith("kerasood.")}
    assert set(DETECTORS.values()) == classes == ours
    assert TWINS.keys() == DETECTORS.keys()


def test_scores_are_one_finite_float32_per_image(detector):
    scores = detector.score(OUTPUTS_IN)
    assert scores.shape == (30,)
    assert np.asarray(scores).dtype == np.float32
    assert np.isfinite(scores).all()


def test_scores_are_higher_for_images_without_evidence(detector):
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
        np.testing.assert_allclose(detector.score(outputs), expected, rtol=1e-5, atol=1e-6)


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
    np.testing.assert_allclose(score(tensors), detector.score(OUTPUTS_IN), rtol=1e-6, atol=1e-6)


def test_an_image_scores_the_same_alone_and_in_any_batch(detector):
    scores = np.asarray(detector.score(OUTPUTS_IN))
    reverse = detector.score(taken(OUTPUTS_IN, slice(None, None, -1)))
    np.testing.assert_allclose(reverse, scores[::-1], rtol=1e-6, atol=1e-6)
    alone = detector.score(taken(OUTPUTS_IN, slice(7, 8)))
    np.testing.assert_allclose(alone, scores[7:8], rtol=1e-6, atol=1e-6)


def test_outputs_of_low_precision_give_float32_scores(detector):
    coarse = {key: tf.cast(values, tf.bfloat16) for key, values in OUTPUTS_IN.items()}
    scores = detector.score(coarse)
    assert scores.dtype == tf.float32
    same_values = {key: tf.cast(values, tf.float32) for key, values in coarse.items()}
    np.testing.assert_allclose(scores, detector.score(same_values), rtol=1e-6, atol=1e-6)


def test_refitting_forgets_the_first_fit(name, detector):
    others, other_labels = example_outputs(LABELS[10:50], seed=3), LABELS[10:50]
    fresh = DETECTORS[name]().fit(others, other_labels)
    refitted = detector.fit(others, other_labels)
    assert refitted is detector
    np.testing.assert_array_equal(refitted.score(OUTPUTS_IN), fresh.score(OUTPUTS_IN))


def test_fit_and_score_leave_outputs_and_parameters_alone(name):
    detector = DETECTORS[name]()
    parameters = detector.get_params()
    outputs = {key: values.copy() for key, values in TRAINING.items()}
    detector.fit(outputs, LABELS).score(outputs)
    assert detector.get_params() == parameters
    for key, values in outputs.items():
        np.testing.assert_array_equal(values, TRAINING[key])


def test_only_fit_writes_attributes_and_they_end_in_an_underscore(name):
    detector = DETECTORS[name]()
    assert vars(detector) == detector.get_params()
    learned = vars(detector.fit(TRAINING, LABELS)).keys() - detector.get_params().keys()
    assert all(attribute.endswith("_") for attribute in learned)


def test_a_clone_has_the_parameters_and_none_of_the_fit(name, detector):
    changed = {key: 2.0 for key in detector.get_params() if key == "temperature"}
    copy = clone(detector.set_params(**changed))
    assert copy is not detector
    assert copy.get_params() == detector.get_params() == vars(copy)
    refitted = copy.fit(TRAINING, LABELS).score(OUTPUTS_IN)
    expected = DETECTORS[name](**detector.get_params()).fit(TRAINING, LABELS).score(OUTPUTS_IN)
    np.testing.assert_array_equal(refitted, expected)


@pytest.mark.parametrize("shape", [(5, 1), (5,), (5, 4, 1)])
def test_logits_of_one_class_or_another_rank_are_refused(detector, shape):
    outputs = {"features": OUTPUTS_IN["features"][:5], "logits": np.zeros(shape, "float32")}
    with pytest.raises(ValueError, match="K >= 2. Received: shape=" + re.escape(str(shape))):
        detector.score(outputs)
