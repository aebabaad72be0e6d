"""Runs an exported file and compares it with Keras, number by number."""

import dataclasses
import pathlib

import numpy as np
from keras import ops

from kerasood.export.metadata import read_metadata
from kerasood.export.saved_model import run_saved_model
from kerasood.export.tflite import run_tflite

TOLERANCE = 1e-4


class ExportMismatch(ValueError):
    """An exported file answers otherwise than the Keras model it was made from."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """The largest differences of one output: absolute, and relative to max(|value|, 1)."""

    absolute: float
    relative: float


@dataclasses.dataclass(frozen=True)
class Report:
    """How near an exported file comes to Keras.

    `num_near_threshold` images have a score so near to the threshold, or two logits so near to each
    other, that the measured float noise could decide about them; all others have the same `is_ood`.
    """

    num_images: int
    differences: dict[str, Difference]
    num_near_threshold: int

    def __str__(self):
        worst = max(self.differences, key=lambda name: self.differences[name].relative)
        return (
            f"{self.num_images} images: every output within "
            f"{self.differences[worst].relative:.1e} of Keras (largest in {worst}), same is_ood, "
            f"{self.num_near_threshold} of them within float noise of the threshold"
        )


def eager_outputs(ood_model, images):
    """What an exported file must answer: the model's own outputs, computed eagerly.

    Args:
        ood_model: OODModel.
        images: uint8 array (N, H, W, 3), pixels 0-255.

    Returns:
        dict of NumPy arrays.
    """
    return {name: ops.convert_to_numpy(output) for name, output in ood_model(images).items()}


def verify(path, images, expected):
    """Runs an exported file on images, as one and as many, and compares every output.

    Args:
        path: str or Path of a SavedModel folder or a .tflite file, its metadata beside it.
        images: uint8 array (N, H, W, 3), N >= 1, pixels 0-255.
        expected: dict of arrays from `eager_outputs` for the same images.

    Returns:
        Report.

    Raises:
        ExportMismatch: an output is missing, has another shape or dtype, is not finite, or differs
            by more than 1e-4 relative to max(|value|, 1); or a decision differs.
        ValueError: there are no images, or `path` is no exported file.
    """
    if not len(images):
        raise ValueError("Expected at least one image to verify with. Received: 0 images")
    actual = _run(path, images)
    if actual.keys() != expected.keys():
        raise ExportMismatch(
            f"Expected the outputs {sorted(expected)} from {path}. Received: {sorted(actual)}"
        )
    differences = {}
    for name in sorted(expected):
        _check_kind(path, name, actual[name], expected[name])
        if name != "is_ood":
            differences[name] = _compare(path, name, actual[name], expected[name])
    threshold = read_metadata(path)["threshold"]
    _check_decisions("Keras", expected, threshold)
    _check_decisions(path, actual, threshold)
    limits = _limits(expected, threshold)
    near = np.abs(expected["score"] - np.float64(limits)) <= differences["score"].absolute
    near |= limits != _limits(actual, threshold)
    return Report(len(images), differences, int(near.sum()))


def _run(path, images):
    path = pathlib.Path(path)
    if path.suffix == ".tflite" and path.is_file():
        run = run_tflite
    elif (path / "saved_model.pb").is_file():
        run = run_saved_model
    else:
        raise ValueError(f"Expected a SavedModel folder or a .tflite file. Received: {path}")
    first, rest = run(path, images[:1]), run(path, images[1:])
    return {name: np.concatenate([first[name], rest[name]]) for name in first}


def _check_kind(path, name, actual, expected):
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise ExportMismatch(
            f"Expected output {name!r} as {expected.dtype}{expected.shape} from {path}. "
            f"Received: {actual.dtype}{actual.shape}"
        )


def _compare(path, name, actual, expected):
    actual, expected = actual.astype("float64"), expected.astype("float64")
    absolute = np.abs(actual - expected)
    relative = absolute / np.maximum(np.abs(expected), 1)
    # NaN anywhere compares as false, which counts as wrong.
    wrong = ~(relative <= TOLERANCE)
    if wrong.any():
        at = tuple(map(int, np.argwhere(wrong)[0]))
        raise ExportMismatch(
            f"Expected {name}={expected[at]:.9g} within {TOLERANCE:g} for image {at[0]} from "
            f"{path}. Received: {name}={actual[at]:.9g} (index {at}; {wrong.sum()} of "
            f"{wrong.size} values differ)"
        )
    return Difference(float(absolute.max()), float(relative.max()))


def _check_decisions(source, outputs, threshold):
    """Scores agree by now, so a wrong decision is one that its own score contradicts."""
    limits = _limits(outputs, threshold)
    wrong = outputs["is_ood"] != (outputs["score"] > limits)
    if wrong.any():
        image = int(np.argmax(wrong))
        raise ExportMismatch(
            f"Expected is_ood={not outputs['is_ood'][image]} for image {image} from {source}: "
            f"score={outputs['score'][image]:.9g} against threshold={limits[image]:.9g}. "
            f"Received: is_ood={outputs['is_ood'][image]} ({wrong.sum()} images)"
        )


def _limits(outputs, threshold):
    """The threshold of each image, (N,) float32: the one, or that of its predicted class."""
    threshold = np.asarray(threshold, "float32")
    if threshold.ndim:
        return threshold[np.argmax(outputs["logits"], axis=-1)]
    return np.broadcast_to(threshold, outputs["score"].shape)
