"""Scores a model on in-distribution and OOD images and measures how well they are told apart."""

import dataclasses
import typing

import numpy as np

from kerasood import thresholds
from kerasood.errors import InvalidInputError, check_share, check_whole, check_whole_or_none
from kerasood.evaluation import protocols
from kerasood.evaluation.calibration import calibration_scores
from kerasood.evaluation.ood_sets import OWN_SETS
from kerasood.evaluation.subject_outputs import FittedDetectors, SubjectOutputs
from kerasood.logs import log


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a measurement.

    Args:
        protocol: Protocol, or its name; all images of every set, once, by default.
        tpr: float in (0, 1), target of the thresholds.
        seed: int >= 0, of the draws, the division of images and the generated outliers.
        batch_size: int, images in a forward pass; None for 250, and fewer of large ones.
        tune: whether detectors with a grid choose their parameters on generated outliers.
        validation_images: int, in-distribution images they are chosen on, and of every kind of
            outlier.
    """

    protocol: typing.Any = "full"
    tpr: float = 0.95
    seed: int = 1
    batch_size: int | None = None
    tune: bool = True
    validation_images: int = 200

    def __post_init__(self):
        if not isinstance(self.protocol, protocols.Protocol):
            object.__setattr__(self, "protocol", protocols.find(self.protocol or "full"))
        check_whole(1, validation_images=self.validation_images)
        check_whole_or_none(1, batch_size=self.batch_size)
        check_whole(0, seed=self.seed)
        check_share(tpr=self.tpr)


@dataclasses.dataclass(frozen=True)
class Measured:
    """The results for one model.

    Args:
        entry: its part of results.models.
        metrics: its entries of results.metrics, one per detector and set.
        calibrated: its entries of results.thresholds, one per detector.
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


def measure(
    subject, ood_sources, detectors, settings, progress=None, outputs=None, lenient=False
):
    """Runs one model over all images once and measures every detector.

    Detectors that take a step on the image need passes of their own.

    Args:
        subject: Subject.
        ood_sources: {set name: ImageSource}.
        detectors: {name: Detector}, not fitted; those with a `choice_` keep their parameters.
        settings: Settings.
        progress: see `SubjectOutputs`.
        outputs: SubjectOutputs of the subject, where some are there already.
        lenient: whether a detector that this model cannot have is left out, with a warning.

    Returns:
        Measured.

    Raises:
        ValueError: a detector cannot be fitted on this model, or an OOD set has one of the names
            in OWN_SETS.
    """
    if not ood_sources.keys().isdisjoint(OWN_SETS):
        raise InvalidInputError(
            f"Expected OOD sets under other names than {', '.join(OWN_SETS)}. "
            f"Received: {', '.join(ood_sources)}"
        )
    outputs = outputs or SubjectOutputs(subject, settings.batch_size, progress)
    tested = outputs.collect(subject.images.testing, "in")
    predicted = np.argmax(tested.outputs["logits"], axis=-1)
    fitter = FittedDetectors(outputs, settings.tune, settings.seed)
    fitted, metrics, calibrated, scores = {}, [], [], {}
    for name, detector in detectors.items():
        found = _fitted(name, detector, fitter, outputs, lenient)
        if found is None:
            continue
        detector, scores_in = found
        fitted[name] = detector
        scores_out = {
            set_name: outputs.scores(detector, source, set_name)
            for set_name, source in ood_sources.items()
        }
        where = {"model": subject.key, "detector": name}
        for set_name, values in scores_out.items():
            told = settings.protocol.evaluate(scores_in, values, set_name, settings.seed)
            metrics.append({**where, "set": set_name, **told})
        calibrated.append({**where, **_calibrated(detector, outputs, scores_out, settings.tpr)})
        scores[subject.key, name, "in"] = scores_in
        scores |= {(subject.key, name, set_name): s for set_name, s in scores_out.items()}
    choices = {name: getattr(each, "choice_", {}) for name, each in fitted.items()}
    choices = {name: choice for name, choice in choices.items() if choice.get("chosen")}
    for name, choice in choices.items():
        log.info("%s: %s", subject.label, choice_in_words(name, choice))
    entry = {
        "key": subject.key,
        "label": subject.label,
        "description": subject.description,
        "seed": subject.seed,
        "base": subject.base,
        "accuracy": float(np.mean(predicted == tested.labels)),
        "choices": choices,
    }
    return Measured(entry, metrics, calibrated, scores, outputs.images, fitted)


def _fitted(name, detector, fitter, outputs, lenient):
    """(detector, fitted; its scores of the test images); None for one that is left out."""
    try:
        detector = fitter.fit(detector)
        return detector, outputs.scores(detector, outputs.subject.images.testing, "in")
    except InvalidInputError as error:
        if not lenient:
            raise
        log.warning("%s is left out of %s: %s", name, outputs.subject.label, error)
        return None


def choice_in_words(name, choice):
    """Describes in one line a detector's choice and by how much it beats its default there."""
    chosen, default = (
        ", ".join(f"{key} {_short(each[key])}" for key in choice["chosen"]) if each else None
        for each in (choice["chosen"], choice["default"])
    )
    text = f"{name} chose {chosen} on {choice['images']} and as many of each kind of outlier"
    text += f" (AUROC {100 * choice['auroc']:.2f} % there"
    if default is not None:
        text += f"; the default, {default}: {100 * choice['default']['auroc']:.2f} %"
    return f"{text})"


def _short(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def _calibrated(detector, outputs, scores_out, tpr):
    """A detector's threshold, the check of its promise and the shares of OOD images flagged."""
    calibration = calibration_scores(detector, outputs)
    threshold = thresholds.calibrate(calibration.scores, tpr)
    fresh = outputs.scores(detector, outputs.subject.images.checking, "check")
    rate = thresholds.realised_rate(fresh, threshold)
    low, high = threshold.interval_for(len(fresh))
    return {
        "calibrated_on": calibration.described,
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
