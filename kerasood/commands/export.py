"""`python -m export`: a run's model, detector and threshold as SavedModel and TFLite."""

import functools
import pathlib

import numpy as np

from kerasood import thresholds
from kerasood.commands.candidates import run_candidates
from kerasood.commands.common import choose, console, run_command
from kerasood.config import ExportConfig
from kerasood.data.prefetch import image_batches
from kerasood.data.sources import open_source
from kerasood.detectors import DETECTORS
from kerasood.evaluation import Settings, calibration_outputs, score
from kerasood.export import FORMATS, describe_signature, export_model
from kerasood.files import read_json, write_json
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


def _threshold(run, config, candidate, name, detector, test):
    """The threshold the evaluation stored for this detector and rate, or a new one."""
    stored = read_json(run.thresholds) if run.thresholds.exists() else {}
    if name in stored:
        threshold = thresholds.Threshold.from_json(stored[name]["threshold"])
        if threshold.tpr == config.tpr:
            return threshold, stored[name]["calibrated_on"]
    settings = Settings(
        detectors={name: detector},
        protocol=None,
        tpr=config.tpr,
        seed=config.seed,
        batches=functools.partial(image_batches, batch_size=config.batch_size),
    )
    outputs, calibrated_on = calibration_outputs(candidate, lambda: test, settings)
    threshold = thresholds.calibrate(score(detector, outputs), config.tpr)
    entry = {"threshold": threshold.to_json(), "calibrated_on": calibrated_on}
    write_json(run.thresholds, {**stored, name: entry})
    return threshold, calibrated_on


def _images_to_verify(test):
    """In-distribution test images and as many of uniform noise."""
    images, _ = next(test.batches(NUM_VERIFIED // 2))
    noise = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    return np.concatenate([images, noise])
