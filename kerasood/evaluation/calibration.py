"""Thresholds of fitted detectors, and detector and threshold of a run for a promise."""

import dataclasses
import hashlib
import json

import numpy as np

from kerasood import thresholds
from kerasood.data.division import OOD_SPLIT
from kerasood.data.open import open_source
from kerasood.data.options import DEFAULTS, DataOptions
from kerasood.detectors import Detector, build
from kerasood.detectors.saving import fingerprint, load_detector, save_detector
from kerasood.detectors.stepped import without_step
from kerasood.errors import InvalidInputError
from kerasood.evaluation.auto import choose_detector
from kerasood.evaluation.run_subjects import options_of_runs, subject_of_run
from kerasood.evaluation.subject import subjects_of
from kerasood.evaluation.subject_outputs import FittedDetectors, SubjectOutputs
from kerasood.files import check_writable, read_json, write_json
from kerasood.logs import log

# Beside a run's fitted detectors: what `choose_detector` said.
CHOICE = "auto.json"


@dataclasses.dataclass(frozen=True)
class CalibrationScores:
    """Scores to calibrate a threshold on.

    Args:
        scores: (n,) float32, of images the model never trained on.
        logits: (n, K) float32, of the same images.
        described: str, what they are.
    """

    scores: np.ndarray
    logits: np.ndarray
    described: str


def calibration_scores(detector, outputs):
    """Scores of the images that calibrate, without evaluating anything else: CalibrationScores.

    Args:
        detector: Detector, fitted.
        outputs: SubjectOutputs.
    """
    images = outputs.subject.images
    scores = outputs.scores(detector, images.calibrating, "calibration")
    logits = outputs.collect(images.calibrating, "calibration").outputs["logits"]
    return CalibrationScores(scores, logits, f"{len(scores):,} {images.calibrated_on}")


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """A run's network with a fitted detector and its threshold.

    Args:
        subject: Subject; its `images.calibrating` are those of the threshold.
        name: str, of the detector.
        detector: Detector, fitted.
        threshold: Threshold or PerClassThreshold.
        calibrated_on: str, what the threshold was calibrated on.
        options: DataOptions of images as the network takes them.
    """

    subject: object
    name: str
    detector: Detector
    threshold: thresholds.Threshold | thresholds.PerClassThreshold
    calibrated_on: str
    options: DataOptions


def calibrate_model(
    model, dataset, name="auto", promise=None, *, calibration=None, options=DEFAULTS,
    preprocessing=None, tune=True, num_choosing=200, batch_size=None, seed=1, step=True,
    progress=None,
):
    """Detector and threshold of any Keras model for a promise, from in-distribution images.

    Args:
        model: keras.Model.
        dataset: its images, as `in_data` of `benchmark`.
        preprocessing: see `build_extractor`.
        name, promise, calibration, options, tune, num_choosing, batch_size, seed, step, progress:
            see `calibrate_run`; the options' class names are those of the model's outputs.

    Returns:
        Calibrated.

    Raises:
        ValueError: no such detector or data, or too few images.
    """
    if name != "auto" and not (tune and build(name).GRID):
        num_choosing = 0
    (subject,), _, options = subjects_of(
        model, dataset, options, num_choosing, seed, preprocessing=preprocessing
    )
    options = options.replace(class_names=None)
    outputs = SubjectOutputs(subject, batch_size, progress)
    detector, chosen = _new_detector(name, outputs, FittedDetectors(outputs, tune, seed))
    name = chosen.get("detector", name)
    if detector.input_step and not step:
        detector = without_step(detector)
    outputs = _on_calibration(outputs, calibration, options)
    return _calibrated(name, detector, outputs, promise or thresholds.Promise(), options)


def calibrate_run(
    run, name="auto", promise=None, *, calibration=None, options=DEFAULTS,
    tune=True, num_choosing=200, batch_size=None, seed=1, step=True, progress=None,
):
    """Detector and threshold of a run for a promise; what an evaluation stored is taken from there.

    Args:
        run: Run, complete.
        name: name that `detectors.build` takes, or "auto"; see `choose_detector`. What was chosen
            for the run before is taken again.
        promise: thresholds.Promise; by default 95 % on average.
        calibration: name or path of other in-distribution images, never trained on: all of them
            calibrate, and none chooses parameters.
        options: DataOptions.
        tune: whether a detector that is not fitted yet chooses its parameters.
        num_choosing: int, images to choose them on.
        batch_size: int, images in a forward pass; by default 250, and fewer of large ones.
        seed: int, of the division of images and of generated outliers.
        step: whether the detector keeps its step on the image; without it, its threshold is a new
            one, and the evaluation's stays stored.
        progress: see `SubjectOutputs`.

    Returns:
        Calibrated.

    Raises:
        ValueError: no such detector, too few images, or a stored file that is not what it claims.
        StorageError: the run directory cannot be written.
    """
    promise = promise or thresholds.Promise()
    check_writable(run.path)
    options = options_of_runs([run], options)
    name = chosen_before(run) or name if name == "auto" else name
    path = run.detectors / f"{name}.npz"
    stored = _stored_detector(path, build(name)) if name != "auto" and path.exists() else None
    if stored is not None:
        # The images that chose its parameters, however many these were, must not calibrate.
        num_choosing = getattr(stored, "choice_", {}).get("num_images", 0)
    elif name != "auto" and not (tune and build(name).GRID):
        num_choosing = 0
    subject = subject_of_run(run, options, num_choosing=num_choosing, seed=seed)
    outputs = SubjectOutputs(subject, batch_size, progress)
    detector = stored
    if detector is None:
        detector, chosen = _new_detector(name, outputs, FittedDetectors(outputs, tune, seed))
        if chosen:
            name = chosen["detector"]
            store_choice(run, chosen)
        save_detector(run.detectors / f"{name}.npz", detector)
    has_step = bool(detector.input_step)
    if has_step and not step:
        detector = without_step(detector)
    outputs = _on_calibration(outputs, calibration, options)
    usual = calibration is None and not promise.per_class and (step or not has_step)
    if usual and stored is not None and (found := stored_threshold(run, name, detector, promise)):
        return Calibrated(subject, name, detector, *found, options)
    found = _calibrated(name, detector, outputs, promise, options)
    if usual:
        kept = detector, found.threshold.to_json(), found.calibrated_on
        store_thresholds(run, {name: kept})
    return found


def _on_calibration(outputs, calibration, options):
    """The outputs of the subject with the images of a set for its threshold, where one is named."""
    if calibration is None:
        return outputs
    source = open_source(calibration, OOD_SPLIT, options)
    subject = outputs.subject.calibrated_on(source).replace(cache=None)
    return SubjectOutputs(subject, outputs.batch_size, outputs.progress)


def _calibrated(name, detector, outputs, promise, options):
    scores = calibration_scores(detector, outputs)
    threshold = thresholds.calibrate_outputs(scores.scores, scores.logits, promise)
    return Calibrated(
        outputs.subject, name, detector, threshold, scores.described, options
    )


def _new_detector(name, outputs, fitter):
    """(fitted Detector, what `choose_detector` says), the latter empty but for the name "auto"."""
    detector, chosen = choose_detector(outputs, fitter) if name == "auto" else (build(name), {})
    return fitter.fit(detector), chosen


def store_choice(run, chosen):
    """Keeps what `choose_detector` says of a run's model, for `chosen_before`."""
    write_json(run.detectors / CHOICE, chosen)


def chosen_before(run):
    """Name of the detector that was chosen for a run and is there still, or None."""
    path = run.detectors / CHOICE
    name = read_json(path).get("detector") if path.exists() else None
    if name is None or not (run.detectors / f"{name}.npz").exists():
        return None
    log.info("auto: %s, chosen before (%s)", name, path)
    return name


def _stored_detector(path, new):
    """The detector in a file, if it is of the kind that its name promises.

    Raises:
        ValueError: it is of another kind.
    """
    stored = load_detector(path)
    if type(stored) is not type(new):
        raise InvalidInputError(
            f"Expected {type(new).__name__} in {path}. Received: {type(stored).__name__}"
        )
    return stored


def stored_threshold(run, name, detector, promise):
    """(Threshold, what it was calibrated on) that `store_thresholds` left; None where others are.

    Raises:
        ValueError: the file is damaged, or holds what no calibration gives.
    """
    entry = _stored(run).get(name)
    if entry is None:
        return None
    if not isinstance(entry, dict) or entry.get("sha256") != _digest(entry):
        raise InvalidInputError(
            f"Expected the threshold of {name} as an evaluation left it in {run.thresholds}; "
            f"delete the file to calibrate again. Received: {entry!r}"
        )
    if entry["detector"] != fingerprint(detector):
        log.warning("%s: the threshold of %s is of another fit and calibrated again",
                    run.thresholds, name)
        return None
    threshold = thresholds.read_threshold(entry["threshold"])
    kept = thresholds.Promise.of(threshold)
    return (threshold, entry["calibrated_on"]) if kept == promise else None


def store_thresholds(run, calibrated):
    """Leaves thresholds where exports find them, those of other detectors as they are.

    Args:
        run: Run.
        calibrated: {name: (Detector, Threshold in JSON values, what it was calibrated on)}.
    """
    stored = _stored(run)
    for name, (detector, threshold, calibrated_on) in calibrated.items():
        entry = {
            "threshold": threshold,
            "calibrated_on": calibrated_on,
            "detector": fingerprint(detector),
        }
        stored[name] = {**entry, "sha256": _digest(entry)}
    write_json(run.thresholds, stored)


def _stored(run):
    stored = read_json(run.thresholds) if run.thresholds.exists() else {}
    if not isinstance(stored, dict):
        raise InvalidInputError(
            f"Expected thresholds by detector in {run.thresholds}. Received: {stored!r}"
        )
    return stored


def _digest(entry):
    content = {name: value for name, value in entry.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
