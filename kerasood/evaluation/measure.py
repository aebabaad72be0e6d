"""Scores models on in-distribution and OOD images and measures how well they are told apart."""

import dataclasses
import typing

import numpy as np

from kerasood import thresholds
from kerasood.data.splits import halves
from kerasood.errors import InvalidInputError
from kerasood.evaluation.fitting import CandidateOutputs, FittedDetectors, calibrating_rows

# What a model's other sets are called in results; no OOD set may be.
OWN_SETS = ("in", "train", "calibration")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model to be evaluated.

    Args:
        key: str, unique, names it in results.
        label: str, heads its columns.
        description: str, one line.
        extractor: keras.Model, images -> {"features", "logits"}.
        training: ImageSource of labelled in-distribution images that it was trained on, for
            detectors that learn; or None.
        calibration: ImageSource of in-distribution images it never trained on, or None to take
            one half of the test images.
        head: Head of the classifier, or None when there is none to be had.
        cache: folder for outputs, or None.
        seed: int, seed of its training run.
        base: key of the model that it was fine-tuned from, or None.
    """

    key: str
    label: str
    description: str
    extractor: typing.Any
    training: typing.Any = None
    calibration: typing.Any = None
    head: typing.Any = None
    cache: typing.Any = None
    seed: int | None = None
    base: str | None = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured, and how.

    Args:
        detectors: {name: Detector}, not fitted.
        protocol: Protocol.
        tpr: float in (0, 1), target of the thresholds.
        seed: int, of the draws, the calibration half and the generated outliers.
        batch_size: int, images in a forward pass.
        tune: whether detectors with a grid choose their parameters on generated outliers.
        validation_images: int, in-distribution images they are chosen on, and of every kind of
            outlier.
    """

    detectors: dict
    protocol: typing.Any = None
    tpr: float = 0.95
    seed: int = 1
    batch_size: int = 250
    tune: bool = False
    validation_images: int = 200


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """The results for one model.

    Args:
        entry: its part of results["models"].
        metrics: its entries of results["metrics"], one per detector and set.
        calibrated: its entries of results["thresholds"], one per detector.
        scores: {(key, detector, set name or "in"): (N,) float32}.
        images: {set name, "in", "train" or "calibration": {"num_images", "sha256"}}.
        detectors: {name: fitted Detector}.
    """

    entry: dict
    metrics: list[dict]
    calibrated: list[dict]
    scores: dict
    images: dict
    detectors: dict


def evaluate_candidate(candidate, test, ood_sources, settings, progress=None):
    """Runs one model over all images once and measures every detector.

    Detectors that take a step on the image need passes of their own.

    Args:
        candidate: Candidate.
        test: ImageSource of labelled in-distribution test images.
        ood_sources: {set name: ImageSource}.
        settings: Settings.
        progress: function of (set name, images done), or None.

    Returns:
        Evaluated.

    Raises:
        ValueError: a detector cannot be fitted on this model, or an OOD set has one of the names
            in OWN_SETS.
    """
    if not ood_sources.keys().isdisjoint(OWN_SETS):
        raise InvalidInputError(
            f"Expected OOD sets under other names than {', '.join(OWN_SETS)}. "
            f"Received: {', '.join(ood_sources)}"
        )
    outputs = CandidateOutputs(candidate, settings.batch_size, progress)
    tested = outputs.collect(test, "in")
    predicted = np.argmax(tested.outputs["logits"], axis=-1)
    fitter = FittedDetectors(outputs, settings.tune, settings.validation_images, settings.seed)
    detectors = {name: fitter.fit(detector) for name, detector in settings.detectors.items()}
    metrics, calibrated, scores = [], [], {}
    for name, detector in detectors.items():
        scores_in = outputs.scores(detector, test, "in")
        scores_out = {
            set_name: outputs.scores(detector, source, set_name)
            for set_name, source in ood_sources.items()
        }
        where = {"model": candidate.key, "detector": name}
        for set_name, values in scores_out.items():
            measured = settings.protocol.evaluate(scores_in, values, set_name, settings.seed)
            metrics.append({**where, "set": set_name, **measured})
        calibration = calibration_scores(detector, outputs, test, settings.seed)
        threshold = thresholds.calibrate(calibration.scores, settings.tpr)
        fresh = scores_in if calibration.fresh is None else calibration.fresh
        realised = _realised(threshold, fresh, scores_out)
        calibrated.append({**where, "calibrated_on": calibration.described, **realised})
        scores[candidate.key, name, "in"] = scores_in
        scores |= {(candidate.key, name, set_name): s for set_name, s in scores_out.items()}
    entry = {
        "key": candidate.key,
        "label": candidate.label,
        "description": candidate.description,
        "seed": candidate.seed,
        "base": candidate.base,
        "accuracy": float(np.mean(predicted == tested.labels)),
        "choices": {
            name: detector.choice_
            for name, detector in detectors.items()
            if hasattr(detector, "choice_")
        },
    }
    return Evaluated(entry, metrics, calibrated, scores, outputs.images, detectors)


@dataclasses.dataclass(frozen=True)
class CalibrationScores:
    """Scores to calibrate a threshold on.

    Args:
        scores: (n,) float32, of images the model never trained on.
        logits: (n, K) float32, of the same images.
        fresh: (m,) float32, scores of other such images, to check the promise on; None where the
            test images were not scored.
        described: str, what they are.
    """

    scores: np.ndarray
    logits: np.ndarray
    fresh: np.ndarray | None
    described: str


def calibration_scores(detector, outputs, test, seed):
    """Scores to calibrate a fitted detector's threshold on, without evaluating anything else.

    Args:
        detector: Detector, fitted.
        outputs: CandidateOutputs.
        test: ImageSource of the test images, of which one half calibrates where the candidate has
            no calibration images of its own.
        seed: int, of the halves.

    Returns:
        CalibrationScores.
    """
    source = outputs.candidate.calibration
    if source is not None:
        scores = outputs.scores(detector, source, "calibration")
        logits = outputs.collect(source, "calibration").outputs["logits"]
        rows = calibrating_rows(detector, len(scores))
        described = f"{len(rows):,} images kept out of training"
        return CalibrationScores(scores[rows], logits[rows], None, described)
    scores = outputs.scores(detector, test, "in")
    logits = outputs.collect(test, "in").outputs["logits"]
    rows, others = halves(len(scores), seed)
    described = f"{len(rows):,} of the {len(scores):,} test images, checked on the others"
    return CalibrationScores(scores[rows], logits[rows], scores[others], described)


def _realised(threshold, fresh, scores_out):
    rate = thresholds.realised_rate(fresh, threshold)
    low, high = threshold.interval_for(len(fresh))
    return {
        "threshold": threshold.to_json(),
        "realised": {
            "rate": rate,
            "num_images": len(fresh),
            "interval": [low, high],
            "inside": bool(low <= rate <= high),
        },
        "flagged": {
            name: 1 - thresholds.realised_rate(values, threshold)
            for name, values in scores_out.items()
        },
    }
