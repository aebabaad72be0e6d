"""`python -m export`: a run's model, detector and threshold as files for other runtimes."""

import pathlib

import numpy as np

from kerasood.commands.common import console
from kerasood.commands.conversion import evaluation_sets, quantization_of, report_conversion
from kerasood.evaluation.calibration import calibrate_run
from kerasood.export import ExportMismatch, describe_signature, export_model, verify_export
from kerasood.files import read_json
from kerasood.runs import git_commit, newest_run, open_run, versions
from kerasood.serving import OODModel
from kerasood.thresholds import Promise

NUM_VERIFIED = 256
NUM_COUNTED = 1000


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
    promise = Promise(config.tpr, config.confidence, config.guarantee, config.per_class)
    calibrated = calibrate_run(
        run, config.detector, promise, calibration=config.calibration, options=config.data,
        tune=config.tune, num_choosing=config.validation_images, batch_size=config.batch_size,
        seed=config.seed,
    )
    subject, threshold = calibrated.subject, calibrated.threshold
    test = subject.images.testing
    sets = evaluation_sets(config, run.config.dataset)
    console.print(
        f"{run.path}: {calibrated.name}, {_in_words(threshold)}; "
        f"calibrated on {calibrated.calibrated_on}",
        markup=False,
    )
    model_name = config.model or pathlib.Path(run.config.dataset).stem
    ood_model = OODModel(subject.extractor, calibrated.detector, threshold.value)
    exported = export_model(
        ood_model,
        config.out,
        images=_images_to_verify(test),
        metadata={
            "calibration": {**threshold.to_json(), "calibrated_on": calibrated.calibrated_on},
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
        quantization=quantization_of(config, subject),
        max_pixels=config.max_megapixels * 1_000_000,
        calibration_images=_spread(subject.images.calibrating, NUM_COUNTED, config.batch_size),
    )
    _print_exported(exported)
    if config.quantization != "none" and "tflite" in exported.paths:
        report_conversion(config, ood_model, exported, test, sets)
    return exported


def _spread(source, num_images, batch_size):
    """At most so many evenly spaced images of a source: list of batches."""
    total = source.num_images
    rows = np.unique(np.linspace(0, total - 1, min(num_images, total)).astype(int))
    return [images for images, _ in source.subset(rows).batches(batch_size)]


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
