"""`python -m export`: a run's model, detector and threshold as SavedModel and TFLite."""

import dataclasses
import functools
import pathlib

import numpy as np

from kerasood import thresholds
from kerasood.commands.candidates import run_candidates
from kerasood.commands.common import choose, console, run_command
from kerasood.config import ExportConfig
from kerasood.data.base import OOD_SPLIT
from kerasood.data.prefetch import image_batches
from kerasood.data.sources import open_source
from kerasood.detectors import DETECTORS
from kerasood.evaluation import Settings, calibration_outputs, score
from kerasood.export import FORMATS, describe_signature, export_model
from kerasood.files import read_json, write_json
from kerasood.recalibration import calibrate_outputs
from kerasood.runs import Run, git_commit, newest_run, versions
from kerasood.serving import OODModel

NUM_VERIFIED = 256


def main():
    """Entry point of the console script and of `python -m export`."""
    run_command(ExportConfig, export)


def export(config):
    """Writes and verifies the formats of an ExportConfig.

    Args:
        config: ExportConfig.

    Returns:
        kerasood.export.Exported.

    Raises:
        ValueError: no such run, detector or data, or the version exists.
    """
    run = Run.open(config.run) if config.run else newest_run()
    name = choose("detector", config.detector, DETECTORS)
    where = {"data_dir": config.data_dir, "download": config.download}
    candidate = run_candidates(run, where)[-1]
    detector = DETECTORS[name]()
    test = open_source(run.config.dataset, "test", **where)
    threshold, calibrated_on = _threshold(run, config, candidate, name, detector, test)
    console.print(
        f"{run.path}: {name}, {_in_words(threshold)}; calibrated on {calibrated_on}", markup=False
    )
    model_name = config.model or pathlib.Path(run.config.dataset).stem
    exported = export_model(
        OODModel(candidate.extractor, detector, threshold.value),
        config.out,
        images=_images_to_verify(test),
        metadata={
            "calibration": {**threshold.to_json(), "calibrated_on": calibrated_on},
            "class_names": list(test.class_names or map(str, range(test.num_classes))),
            "dataset": run.config.dataset,
            "run": run.path.name,
            "commit": git_commit(),
            "versions": versions(),
        },
        model_name=model_name,
        formats=FORMATS if config.format == "all" else (config.format,),
        version=config.version,
    )
    for kind, path in exported.paths.items():
        console.print(f"\n[bold]{kind}[/] {path}")
        console.print(str(exported.reports[kind]), markup=False)
        console.print(describe_signature(path), markup=False)
    return exported


def _threshold(run, config, candidate, name, detector, test):
    """The threshold the evaluation stored for this detector and promise, or a new one.

    What the evaluation did not ask for, thresholds per class or from other images, stays out of
    its file.
    """
    stored = read_json(run.thresholds) if run.thresholds.exists() else {}
    is_usual = not (config.per_class or config.calibration)
    if is_usual and name in stored:
        threshold = thresholds.read_threshold(stored[name]["threshold"])
        promise = threshold.tpr, threshold.confidence, threshold.guarantee
        if promise == (config.tpr, config.confidence, config.guarantee):
            return threshold, stored[name]["calibrated_on"]
    outputs, calibrated_on = _calibration_outputs(config, candidate, name, detector, test)
    threshold = calibrate_outputs(
        score(detector, outputs),
        outputs["logits"],
        config.tpr,
        config.confidence,
        config.guarantee,
        config.per_class,
    )
    if is_usual:
        entry = {"threshold": threshold.to_json(), "calibrated_on": calibrated_on}
        write_json(run.thresholds, {**stored, name: entry})
    return threshold, calibrated_on


def _calibration_outputs(config, candidate, name, detector, test):
    """Outputs for the run's own calibration images, or those of --calibration, and their origin."""
    settings = Settings(
        detectors={name: detector},
        protocol=None,
        tpr=config.tpr,
        seed=config.seed,
        batches=functools.partial(image_batches, batch_size=config.batch_size),
    )
    if not config.calibration:
        return calibration_outputs(candidate, lambda: test, settings)
    where = {"data_dir": config.data_dir, "download": config.download}
    source = open_source(config.calibration, OOD_SPLIT, **where)
    candidate = dataclasses.replace(candidate, calibration=source)
    outputs, _ = calibration_outputs(candidate, lambda: test, settings)
    return outputs, f"{len(outputs['logits']):,} images of {source.name}"


def _in_words(threshold):
    values = np.atleast_1d(threshold.value)
    if values.size == 1:
        return f"threshold {values[0]:.6g} {threshold.promise}"
    return f"thresholds from {values.min():.6g} to {values.max():.6g} {threshold.promise}"


def _images_to_verify(test):
    """In-distribution test images and as many of uniform noise."""
    images, _ = next(test.batches(NUM_VERIFIED // 2))
    noise = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    return np.concatenate([images, noise])
