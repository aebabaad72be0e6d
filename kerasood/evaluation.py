"""Scores models on in-distribution and OOD images and measures how well they are told apart."""

import dataclasses
import typing

import numpy as np

from kerasood import thresholds
from kerasood.data.in_distribution import halves
from kerasood.outputs import collect


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model to be evaluated.

    Args:
        key: str, unique, names it in results.
        label: str, heads its columns.
        description: str, one line.
        extractor: keras.Model, images -> {"features", "logits"}.
        calibration: ImageSource of in-distribution images it never trained on, or None to take
            one half of the test images.
    """

    key: str
    label: str
    description: str
    extractor: typing.Any
    calibration: typing.Any = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured, and how.

    Args:
        detectors: {name: Detector}, fitted.
        protocol: Protocol.
        tpr: float in (0, 1), target of the thresholds.
        seed: int, of the draws and of the calibration half.
        batches: function of an ImageSource that returns an iterable of uint8 (B, H, W, 3).
    """

    detectors: dict
    protocol: typing.Any
    tpr: float
    seed: int
    batches: typing.Callable


def evaluate_candidate(candidate, test, ood_sources, settings, progress=None):
    """Runs one model over all images once and measures every detector.

    Args:
        candidate: Candidate.
        test: ImageSource of in-distribution test images, and their labels (N,) int.
        ood_sources: {set name: ImageSource}.
        settings: Settings.
        progress: function of (set name, images done), or None.

    Returns:
        (entry, metrics, calibrated, scores): the parts of results["models"], ["metrics"] and
        ["thresholds"] for this model, and {(key, detector, set name or "in"): (N,) float32}.
    """

    def outputs_of(source, name):
        step = None if progress is None else lambda count: progress(name, count)
        return collect(candidate.extractor, settings.batches(source), step)

    source, labels = test
    test_outputs = outputs_of(source, "in")
    calibration, check, calibrated_on = _calibration(candidate, test_outputs, settings, outputs_of)
    predicted = np.argmax(test_outputs["logits"], axis=-1)
    entry = {
        "key": candidate.key,
        "label": candidate.label,
        "description": candidate.description,
        "accuracy": float(np.mean(predicted == labels)),
    }
    ood_outputs = {name: outputs_of(source, name) for name, source in ood_sources.items()}
    metrics, calibrated, scores = [], [], {}
    for name, detector in settings.detectors.items():
        scores_in = score(detector, test_outputs)
        scores_out = {set_name: score(detector, out) for set_name, out in ood_outputs.items()}
        where = {"model": candidate.key, "detector": name}
        for set_name, values in scores_out.items():
            measured = settings.protocol.evaluate(scores_in, values, set_name, settings.seed)
            metrics.append({**where, "set": set_name, **measured})
        threshold = thresholds.calibrate(score(detector, calibration), settings.tpr)
        calibrated.append(
            {**where, **_realised(threshold, score(detector, check), calibrated_on, scores_out)}
        )
        scores[candidate.key, name, "in"] = scores_in
        scores |= {(candidate.key, name, set_name): s for set_name, s in scores_out.items()}
    return entry, metrics, calibrated, scores


def score(detector, outputs):
    """Scores of a detector as a NumPy array (N,) float32."""
    return np.asarray(detector.score(outputs), dtype="float32")


def calibration_outputs(candidate, test, settings):
    """Outputs to calibrate a threshold on, without evaluating anything else.

    Args:
        candidate: Candidate.
        test: function without arguments that returns the ImageSource of the test images; called
            only when the candidate has no calibration images of its own.
        settings: Settings.

    Returns:
        ({"features", "logits"}, str): the outputs and what they were calculated from.
    """

    def outputs_of(source, name):
        return collect(candidate.extractor, settings.batches(source))

    test_outputs = None if candidate.calibration is not None else outputs_of(test(), "in")
    outputs, _, described = _calibration(candidate, test_outputs, settings, outputs_of)
    return outputs, described


def _calibration(candidate, test_outputs, settings, outputs_of):
    if candidate.calibration is not None:
        outputs = outputs_of(candidate.calibration, "calibration")
        num_images = len(outputs["logits"])
        return outputs, test_outputs, f"{num_images:,} images kept out of training"
    num_images = len(test_outputs["logits"])
    rows, others = halves(num_images, settings.seed)
    described = f"{len(rows):,} of the {num_images:,} test images, checked on the others"
    return _rows(test_outputs, rows), _rows(test_outputs, others), described


def _rows(outputs, rows):
    return {name: values[rows] for name, values in outputs.items()}


def _realised(threshold, fresh_scores, calibrated_on, scores_out):
    rate = thresholds.realised_rate(fresh_scores, threshold)
    low, high = threshold.interval_for(len(fresh_scores))
    return {
        "threshold": threshold.to_json(),
        "calibrated_on": calibrated_on,
        "realised": {
            "rate": rate,
            "num_images": len(fresh_scores),
            "interval": [low, high],
            "inside": bool(low <= rate <= high),
        },
        "flagged": {
            name: 1 - thresholds.realised_rate(values, threshold)
            for name, values in scores_out.items()
        },
    }
