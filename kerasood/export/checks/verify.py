"""Runs an exported file and compares it with Keras, number by number."""

import dataclasses
import os
import typing

import keras
import numpy as np
from keras import ops

from kerasood.errors import InvalidInputError
from kerasood.export.checks.units import EXACT, QUANTIZED, unit_of
from kerasood.export.errors import ExportMismatch
from kerasood.export.formats import format_of
from kerasood.export.graph.quantization import LEAST_CORRELATION
from kerasood.export.metadata import read_metadata


@dataclasses.dataclass(frozen=True)
class Difference:
    """The largest differences of one output: absolute, and in units of `unit_of`."""

    absolute: float
    relative: float


@dataclasses.dataclass(frozen=True)
class Report:
    """Differences between an exported file and Keras.

    `num_near_threshold` images have a score so near to the threshold, or two logits so near to each
    other, that the measured float noise could decide about them; all others have the same `is_ood`.
    """

    num_images: int
    differences: dict[str, Difference]
    num_near_threshold: int
    reference: str = "Keras"

    @property
    def largest(self) -> float:
        """The largest difference of any output, in its own units."""
        return max(difference.relative for difference in self.differences.values())

    def __str__(self):
        largest = {name: difference.relative for name, difference in self.differences.items()}
        score = largest.pop("score")
        worst = max(largest, key=largest.get)
        return (
            f"{self.num_images} images: the score within {score:.1e} of its spread and all else "
            f"within {largest[worst]:.1e} (largest in {worst}) of {self.reference}, same is_ood, "
            f"{self.num_near_threshold} of them within float noise of the threshold"
        )


@dataclasses.dataclass(frozen=True)
class QuantizedReport:
    """Differences between a quantised file and Keras.

    `shifts` holds the mean difference of logits, energy and score relative to their spread.
    """

    num_images: int
    kind: str
    shifts: dict[str, float]

    def __str__(self):
        shifts = ", ".join(f"{name} {100 * shift:.2g} %" for name, shift in self.shifts.items())
        return (
            f"{self.num_images} images: {self.kind} moves the outputs, on average and relative to "
            f"their spread, by: {shifts}; every is_ood agrees with its score and the threshold"
        )


def eager_outputs(ood_model: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Expected answers of an exported file: the model's own outputs, computed eagerly.

    Args:
        ood_model: OODModel.
        images: uint8 array (N, H, W, 3), pixels 0-255.

    Returns:
        dict of NumPy arrays.
    """
    return {name: ops.convert_to_numpy(output) for name, output in ood_model(images).items()}


def verify(
    path: str | os.PathLike, images: np.ndarray, expected: dict[str, np.ndarray],
    tolerance: typing.Any = EXACT, reference: str = "Keras", spread: float | None = None,
) -> Report:
    """Runs an exported file on images, as one and as many, and compares every output.

    Every runtime at hand for its format is tried.

    Args:
        path: str or Path of an exported file or a SavedModel folder, its metadata beside it.
        images: uint8 array (N, H, W, 3), N >= 1, pixels 0-255.
        expected: dict of arrays from `eager_outputs` for the same images.
        tolerance: Tolerance.
        reference: str, what answered `expected`, for the report.
        spread: float, the score's from more images than these; by default `score_spread(expected)`.

    Returns:
        Report of the runtime that differs most.

    Raises:
        ExportMismatch: an output is missing, has another shape or dtype, is not finite, or differs
            by more than the tolerance; or a decision differs.
        ValueError: there are no images, or `path` is no exported file.
    """
    answers = _answers(path, images)
    for source, actual in answers:
        _check_kinds(source, actual, expected)
    threshold = read_metadata(path)["threshold"]
    limits = _limits(expected, threshold)
    units = _units(expected, limits, spread)
    reports = []
    for source, actual in answers:
        differences = {
            name: _compare(source, name, actual[name], expected[name], unit, tolerance.of(name))
            for name, unit in units.items()
            if name != "is_ood"
        }
        _check_decisions(reference, expected, threshold)
        _check_decisions(source, actual, threshold)
        noise = differences["score"].relative * units["score"]
        near = np.abs(expected["score"] - np.float64(limits)) <= noise
        near |= limits != _limits(actual, threshold)
        reports.append(Report(len(images), differences, int(near.sum()), reference))
    return max(reports, key=lambda report: report.largest)


def _units(expected, limits, spread=None):
    return {name: unit_of(name, expected, limits, spread) for name in sorted(expected)}


def verify_quantized(
    path: str | os.PathLike, images: np.ndarray, expected: dict[str, np.ndarray], kind: str,
) -> tuple[QuantizedReport, dict[str, np.ndarray]]:
    """Runs a quantised file on images, as one and as many: does it answer soundly, and how near?

    Args:
        path, images, expected: see `verify`.
        kind: its quantization.

    Returns:
        (QuantizedReport, dict of arrays: what the preferred runtime answered).

    Raises:
        ExportMismatch: an output is missing, has another shape or dtype, is not finite, or is
            so little like Keras's that the file is broken; a decision contradicts its own score;
            or two runtimes disagree.
    """
    answers = _answers(path, images)
    threshold = read_metadata(path)["threshold"]
    for source, actual in answers:
        _check_kinds(source, actual, expected)
        _check_decisions(source, actual, threshold)
    shifts = {
        name: _shift(path, name, answers[0][1][name], expected[name], LEAST_CORRELATION[kind])
        for name in ("logits", "energy", "score")
    }
    _, first = answers[0]
    units = _units(first, _limits(first, threshold))
    for source, actual in answers[1:]:
        for name, unit in units.items():
            _compare(source, name, actual[name], first[name], unit, QUANTIZED.of(name))
    return QuantizedReport(len(images), kind, shifts), first


def verify_decisions(path, images, expected):
    """Runs a quantised file on images that need not be near: are its answers sound by themselves?

    Args:
        path, images, expected: see `verify`.

    Raises:
        ExportMismatch: an output is missing, has another shape or dtype, or a decision contradicts
            its own score, one that is not a number included.
    """
    threshold = read_metadata(path)["threshold"]
    for source, actual in _answers(path, images):
        _check_kinds(source, actual, expected)
        _check_decisions(source, actual, threshold)


def _answers(path, images):
    """[(the file and its runtime in words, outputs)] of every runtime at hand."""
    if not len(images):
        raise InvalidInputError("Expected at least one image to verify with. Received: 0 images")
    answers = []
    kind = format_of(path)
    for name in kind.runtimes():
        try:
            first, rest = (kind.run(path, part, name) for part in (images[:1], images[1:]))
        # A runtime raises whatever it likes.
        except Exception as error:
            raise ExportMismatch(
                f"Expected answers from {path}. Received: {str(error)[:500]}"
            ) from error
        outputs = {key: np.concatenate([first[key], rest[key]]) for key in first}
        answers.append((f"{path} in {name}" if name else f"{path}", outputs))
    return answers


def _check_kinds(source, actual, expected):
    if actual.keys() != expected.keys():
        raise ExportMismatch(
            f"Expected the outputs {sorted(expected)} from {source}. Received: {sorted(actual)}"
        )
    for name in sorted(expected):
        _check_kind(source, name, actual[name], expected[name])


def _shift(source, name, actual, expected, least):
    """Mean difference relative to the spread of what is expected."""
    actual, expected = actual.astype("float64").ravel(), expected.astype("float64").ravel()
    spread = expected.std()
    if not spread:
        return float(np.abs(actual - expected).mean())
    with np.errstate(invalid="ignore"):
        correlation = np.mean((actual - actual.mean()) * (expected - expected.mean()))
        correlation /= actual.std() * spread
    # NaN compares as false, which counts as wrong.
    if not correlation >= least:
        raise ExportMismatch(
            f"Expected {name} from {source} to correlate with Keras's by at least {least:g}. "
            f"Received: {correlation:.3g}"
        )
    return float(np.abs(actual - expected).mean() / spread)


def _check_kind(path, name, actual, expected):
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise ExportMismatch(
            f"Expected output {name!r} as {expected.dtype}{expected.shape} from {path}. "
            f"Received: {actual.dtype}{actual.shape}"
        )


def _compare(path, name, actual, expected, unit, tolerance):
    actual, expected = actual.astype("float64"), expected.astype("float64")
    # A number that is none in Keras must be none in the file; it is then OOD in both.
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        absolute = np.where(same, 0, np.abs(actual - expected))
        relative = np.where(same, 0, absolute / unit)
    # NaN anywhere else compares as false, which counts as wrong.
    wrong = ~(relative <= tolerance)
    if wrong.any():
        at = tuple(map(int, np.argwhere(wrong)[0]))
        raise ExportMismatch(
            f"Expected {name}={expected[at]:.9g} within {tolerance * unit[at]:.2g} for image "
            f"{at[0]} from {path}. Received: {name}={actual[at]:.9g} (index {at}; {wrong.sum()} "
            f"of {wrong.size} values differ)"
        )
    return Difference(float(absolute.max()), float(relative.max()))


def _check_decisions(source, outputs, threshold):
    """Scores agree by now, so a wrong decision is one that its own score contradicts."""
    limits = _limits(outputs, threshold)
    wrong = outputs["is_ood"] != ~(outputs["score"] <= limits)
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
