"""Outputs, labels and heads that a detector was not made for."""

import re

import numpy as np
import pytest
from detector_examples import (
    LABELS,
    OUTPUTS_IN,
    TRAINING,
    fitted,
    taken,
)
from detector_head import HEAD
from keras import ops

from kerasood.detectors import DETECTORS
from kerasood.detectors.saving import load_detector, save_detector


def test_outputs_of_another_width_than_fitted_on_are_refused(detector, tmp_path):
    wider = {key: np.tile(values, 2) for key, values in OUTPUTS_IN.items()}
    if not detector.learns:
        detector.check_fits({key: values.shape for key, values in wider.items()})
        return
    save_detector(tmp_path / "detector.npz", detector)
    for kept in (detector, load_detector(tmp_path / "detector.npz")):
        with pytest.raises(ValueError, match=r"on which .* was fitted. Received: shape=\(30, "):
            kept.score(wider)
        kept.check_fits({key: (None, *values.shape[1:]) for key, values in OUTPUTS_IN.items()})


def test_no_images_have_no_scores(detector):
    scores = detector.score(taken(OUTPUTS_IN, slice(0, 0)))
    assert scores.shape == (0,)
    assert np.asarray(scores).dtype == np.float32


def test_labels_may_be_a_column(name, detector):
    column = fitted(name, labels=LABELS[:, None])
    np.testing.assert_array_equal(column.score(OUTPUTS_IN), detector.score(OUTPUTS_IN))


def test_arrays_without_names_are_refused(detector):
    with pytest.raises(ValueError, match="Expected outputs by name.* Received: ndarray"):
        detector.score(OUTPUTS_IN["features"])


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ((HEAD[0][:, :3], HEAD[1][:3]), "head of 4 logits. Received: one of 3"),
        ((HEAD[0] * np.nan, HEAD[1]), "finite weights of the head"),
        (HEAD[0], "as `head_of` gives it. Received: ndarray"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(head, message):
    with pytest.raises(ValueError, match=message):
        DETECTORS["vim"]().fit(TRAINING, LABELS, head)


@pytest.mark.parametrize("shape", [(5, 1), (5,), (5, 4, 1)])
def test_outputs_of_another_shape_are_refused(detector, shape):
    wrong = np.zeros(shape, "float32")
    if "logits" not in detector.reads:
        wrong = wrong[..., None, None]
    outputs = {read: wrong for read in OUTPUTS_IN}
    received = re.escape(str(tuple(wrong.shape)))
    with pytest.raises(ValueError, match=f"Received: shape={received}"):
        detector.score(outputs)


def test_outputs_of_different_lengths_are_not_scored():
    outputs = {**OUTPUTS_IN, "logits": OUTPUTS_IN["logits"][:-1]}
    tensors = {name: ops.convert_to_tensor(array) for name, array in outputs.items()}
    for given in (outputs, tensors):
        with pytest.raises(ValueError, match="as many images.* Received: .*'logits': 29"):
            DETECTORS["grad_norm"]().score(given)
