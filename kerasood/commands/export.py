"""`python -m export`: a run's model, detector and threshold as SavedModel and TFLite."""

import pathlib

import numpy as np

from kerasood import thresholds
from kerasood.commands.candidates import run_candidates
from kerasood.commands.common import choose, console, run_command
from kerasood.config import ExportConfig
from kerasood.data.sources import open_source
from kerasood.detectors import DETECTORS
from kerasood.detectors.saving import load_detector, save_detector
from kerasood.evaluation import calibration_scores
from kerasood.export import FORMATS, describe_signature, export_model
from kerasood.files import read_json, write_json
from kerasood.fitting import CandidateOutputs, FittedDetectors
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
    outputs = CandidateOutputs(candidate, config.batch_size)
    detector, is_new = _detector(run, config, outputs, name)
    test = open_source(run.config.dataset, "test", **where)
    threshold, calibrated_on = _threshold(run, config, outputs, name, detector, test, is_new)
    console.print(
        f"{run.path}: {name}, threshold {threshold.value:.6g} accepts {threshold.tpr:.0%} of "
        f"in-distribution images ({threshold.interval[0]:.1%} to {threshold.interval[1]:.1%} "
        f"with {threshold.confidence:.0%} confidence; {calibrated_on})"
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


def _detector(run, config, outputs, name):
    """The detector that the evaluation fitted, or a new one; and whether it is new."""
    path = run.detectors / f"{name}.npz"
    if path.exists():
        return load_detector(path, DETECTORS), False
    fitter = FittedDetectors(outputs, config.tune, config.validation_images, config.seed)
    detector = fitter.fit(DETECTORS[name]())
    save_detector(path, detector, DETECTORS)
    return detector, True


def _threshold(run, config, outputs, name, detector, test, is_new):
    """The threshold the evaluation stored for this detector and rate, or a new one."""
    stored = read_json(run.thresholds) if run.thresholds.exists() else {}
    if name in stored and not is_new:
        threshold = thresholds.Threshold.from_json(stored[name]["threshold"])
        if threshold.tpr == config.tpr:
            return threshold, stored[name]["calibrated_on"]
    calibration = calibration_scores(detector, outputs, test, config.seed)
    threshold = thresholds.calibrate(calibration.scores, config.tpr)
    entry = {"threshold": threshold.to_json(), "calibrated_on": calibration.described}
    write_json(run.thresholds, {**stored, name: entry})
    return threshold, calibration.described


def _images_to_verify(test):
    """In-distribution test images and as many of uniform noise."""
    images, _ = next(test.batches(NUM_VERIFIED // 2))
    noise = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    return np.concatenate([images, noise])
