"""`python -m export`: a run's model, detector and threshold as files for other runtimes."""

import dataclasses
import pathlib

import numpy as np

from kerasood import thresholds
from kerasood.commands.candidates import run_candidates
from kerasood.commands.common import console, run_command
from kerasood.commands.conversion import (
    calibration_images,
    evaluation_sets,
    quantization_of,
    report_conversion,
)
from kerasood.commands.measuring import checked_detector
from kerasood.commands.zoo_runs import open_run
from kerasood.config import ExportConfig
from kerasood.data.division import OOD_SPLIT
from kerasood.data.open import open_source
from kerasood.detectors import build
from kerasood.detectors.saving import load_detector, save_detector
from kerasood.evaluation.fitting import CandidateOutputs, FittedDetectors
from kerasood.evaluation.measure import CalibrationScores, calibration_scores
from kerasood.export import ExportMismatch, describe_signature, export_model, verify_export
from kerasood.files import read_json, write_json
from kerasood.runs import git_commit, newest_run, versions
from kerasood.serving import OODModel, calibrate_outputs

NUM_VERIFIED = 256
NUM_COUNTED = 1000


def main():
    """Entry point of the console script and of `python -m export`."""
    run_command(ExportConfig, export)


def export(config):
    """Writes and verifies the formats of an ExportConfig.

    Args:
        config: ExportConfig.

    Returns:
        kerasood.export.Exported; or with `config.verify` what `verify_export` returns.

    Raises:
        ValueError: no such run, detector or data, or the version exists.
    """
    if config.verify:
        return _verify(config.verify)
    run = open_run(config.run) if config.run else newest_run()
    name = checked_detector(config.detector)
    candidate = run_candidates(run, config.data)[-1]
    outputs = CandidateOutputs(candidate, config.batch_size)
    detector, is_new = _detector(run, config, outputs, name)
    test = open_source(run.config.dataset, "test", config.data)
    sets = evaluation_sets(config, run.config.dataset)
    threshold, calibrated_on = _threshold(run, config, outputs, name, detector, test, is_new)
    console.print(
        f"{run.path}: {name}, {_in_words(threshold)}; calibrated on {calibrated_on}", markup=False
    )
    model_name = config.model or pathlib.Path(run.config.dataset).stem
    ood_model = OODModel(candidate.extractor, detector, threshold.value)
    exported = export_model(
        ood_model,
        config.out,
        images=_images_to_verify(test),
        metadata={
            "calibration": {**threshold.to_json(), "calibrated_on": calibrated_on},
            "class_names": list(test.class_names or map(str, range(test.num_classes))),
            "dataset": run.config.dataset,
            "run": run.path.name,
            "commit": git_commit(),
            "training_commit": read_json(run.path / "config.json").get("commit"),
            "versions": versions(),
        },
        model_name=model_name,
        formats=None if config.format == "all" else (config.format,),
        version=config.version,
        quantization=quantization_of(config, candidate, test, detector),
        max_pixels=config.max_megapixels * 1_000_000,
        calibration_images=list(
            calibration_images(config, candidate, test, detector, NUM_COUNTED)
        ),
    )
    _print_exported(exported)
    if config.quantization != "none" and "tflite" in exported.paths:
        report_conversion(config, ood_model, exported, test, sets)
    return exported


def _detector(run, config, outputs, name):
    """The detector that the evaluation fitted, or a new one; and whether it is new."""
    path = run.detectors / f"{name}.npz"
    if path.exists():
        return load_detector(path), False
    fitter = FittedDetectors(outputs, config.tune, config.validation_images, config.seed)
    detector = fitter.fit(build(name))
    save_detector(path, detector)
    return detector, True


def _threshold(run, config, outputs, name, detector, test, is_new):
    """The threshold the evaluation stored for this detector and promise, or a new one.

    What the evaluation did not ask for, thresholds per class or from other images, stays out of
    its file.
    """
    stored = read_json(run.thresholds) if run.thresholds.exists() else {}
    is_usual = not (config.per_class or config.calibration)
    if is_usual and name in stored and not is_new:
        threshold = thresholds.read_threshold(stored[name]["threshold"])
        promise = threshold.tpr, threshold.confidence, threshold.guarantee
        if promise == (config.tpr, config.confidence, config.guarantee):
            return threshold, stored[name]["calibrated_on"]
    calibration = _calibration(config, outputs, detector, test)
    threshold = calibrate_outputs(
        calibration.scores,
        calibration.logits,
        config.tpr,
        config.confidence,
        config.guarantee,
        config.per_class,
    )
    if is_usual:
        entry = {"threshold": threshold.to_json(), "calibrated_on": calibration.described}
        write_json(run.thresholds, {**stored, name: entry})
    return threshold, calibration.described


def _calibration(config, outputs, detector, test):
    """Scores of the run's own calibration images, or of those of --calibration."""
    if not config.calibration:
        return calibration_scores(detector, outputs, test, config.seed)
    source = open_source(config.calibration, OOD_SPLIT, config.data)
    candidate = dataclasses.replace(outputs.candidate, calibration=source, cache=None)
    outputs = CandidateOutputs(candidate, config.batch_size)
    # All of them: parameters were chosen on other images.
    scores = outputs.scores(detector, source, "calibration")
    logits = outputs.collect(source, "calibration").outputs["logits"]
    described = f"{len(scores):,} images of {source.name}"
    return CalibrationScores(scores, logits, None, described)


def _in_words(threshold):
    values = np.atleast_1d(threshold.value)
    if values.size == 1:
        return f"threshold {values[0]:.6g} {threshold.promise}"
    return f"thresholds from {values.min():.6g} to {values.max():.6g} {threshold.promise}"


def _print_exported(exported):
    for name, path in exported.paths.items():
        console.print(f"\n[bold]{name}[/] {path}")
        console.print(str(exported.reports[name]), markup=False)
        console.print(describe_signature(path), markup=False)
    for name, reason in exported.left_out.items():
        console.print(f"\n{name} is left out: {reason}", style="yellow", markup=False)
    for note in exported.notes.values():
        console.print(f"\n{note}", markup=False)


def _verify(folder):
    try:
        results = verify_export(folder)
    except ExportMismatch as error:
        _print_verified(error.results)
        raise
    _print_verified(results)
    return results


def _print_verified(results):
    for name, result in results.items():
        differs = isinstance(result, ExportMismatch)
        style = "red" if differs else "yellow" if isinstance(result, str) else None
        said = "differs: " if differs else ""
        console.print(f"{name}: {said}{result}", style=style, markup=False)


def _images_to_verify(test):
    """In-distribution test images and as many of uniform noise."""
    images, _ = next(test.batches(NUM_VERIFIED // 2))
    noise = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    return np.concatenate([images, noise])
