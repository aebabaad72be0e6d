"""From a run directory, or any model's file, to files: network, fitted detector and threshold."""

import dataclasses
import pathlib

import numpy as np

from kerasood.data.roles import ood_names
from kerasood.errors import InvalidInputError
from kerasood.evaluation.calibration import calibrate_model, calibrate_run
from kerasood.evaluation.ood_sets import named_sets, open_sets
from kerasood.export.checks.conversion import measure_conversion
from kerasood.export.config import ExportConfig
from kerasood.export.exporting import Exported, export_model
from kerasood.export.graph.encoded import check_max_pixels
from kerasood.export.graph.endpoints import names_or_numbers
from kerasood.export.graph.quantization import Quantization
from kerasood.export.versions import check_place, check_version, name_of
from kerasood.extractor.preprocessing import preprocessing_from
from kerasood.files import read_json
from kerasood.logs import log
from kerasood.networks.saving import load_network
from kerasood.runs import git_commit, newest_run, open_run, versions
from kerasood.serving import OODModel

NUM_VERIFIED = 256
NUM_REPRESENTATIVE = 128


def export_run(config: ExportConfig) -> Exported:
    """Calibrates a run, or another model, and writes and verifies its files; see `export_model`.

    Args:
        config: ExportConfig.

    Returns:
        Exported; where a file was quantised and there are OOD sets, with its `conversion`.

    Raises:
        ValueError: no such run, model, detector or data, or the version exists.
        StorageError: the run's directory or the folder cannot be written.
    """
    config.check_own_model()
    run = None if config.model else open_run(config.run) if config.run else newest_run()
    dataset = run.config.dataset if run else config.dataset
    model_name = config.name or name_of(dataset)
    check_version(model_name, config.version)
    check_max_pixels(config.max_pixels)
    check_place(config.out)
    calibrated = _calibrated(run, config)
    threshold, images = calibrated.threshold, calibrated.subject.images
    ood_sources = _ood_sources(config, dataset, calibrated.options)
    log.info(
        "%s: %s, %s; calibrated on %s", run.path if run else config.model, calibrated.name,
        _in_words(threshold), calibrated.calibrated_on,
    )
    ood_model = OODModel(calibrated.subject.extractor, calibrated.detector, threshold.value)
    exported = export_model(
        ood_model,
        config.out,
        images=_images_to_verify(images.testing),
        metadata=_metadata(dataset, _origin(run, config), calibrated, ood_model.num_classes),
        model_name=model_name,
        formats=None if config.format == "all" else (config.format,),
        version=config.version,
        quantization=_quantization(config.quantization, calibrated.subject),
        max_pixels=config.max_pixels,
        calibration_images=images.calibrating,
    )
    if config.quantization == "none":
        return exported
    conversion = measure_conversion(
        ood_model, exported, images.testing, ood_sources, config.evaluation_images
    )
    return dataclasses.replace(exported, conversion=conversion)


def _calibrated(run, config):
    """The Calibrated of a run, or of the own model that the configuration names."""
    ways = {
        "calibration": config.calibration, "tune": config.tune, "batch_size": config.batch_size,
        "num_choosing": config.validation_images, "seed": config.seed, "step": config.step,
    }
    if run:
        return calibrate_run(run, config.detector, config.promise, options=config.data, **ways)
    return calibrate_model(
        load_network(config.model), config.dataset, config.detector, config.promise,
        options=config.data.replace(class_names=config.class_names or None),
        preprocessing=preprocessing_from(config.preprocessing, config.resizing, config.antialias),
        **ways,
    )


def _origin(run, config):
    if not run:
        return {"model": pathlib.Path(config.model).name}
    trained = read_json(run.path / "config.json")
    return {"run": run.path.name, "training_commit": trained.get("commit")}


def _metadata(dataset, origin, calibrated, num_classes):
    calibration = calibrated.threshold.to_json()
    class_names = calibrated.subject.images.testing.class_names
    return {
        "calibration": {**calibration, "calibrated_on": calibrated.calibrated_on},
        "class_names": names_or_numbers(class_names, num_classes),
        "dataset": dataset,
        **origin,
        "commit": git_commit(),
        "versions": versions(),
    }


def _quantization(kind, subject):
    """The Quantization with images for the ranges of an int8 file's layers, or None."""
    if kind == "none":
        return None
    representative = None
    if kind == "int8":
        if subject.images.training is None:
            raise InvalidInputError(
                "Expected training images that are at hand, for the ranges of the layers in int8. "
                f"Received: none for {subject.label}"
            )
        representative, _ = subject.images.training.spread(NUM_REPRESENTATIVE).load()
    return Quantization(kind, representative)


def _ood_sources(config, dataset, options):
    """{name: ImageSource} of the OOD sets that a quantised file is evaluated on."""
    if config.quantization == "none":
        return {}
    options = options.replace(download=False)
    sources, _ = open_sets(named_sets(config.ood), ood_names(dataset), options, required=False)
    return sources


def _images_to_verify(test):
    """In-distribution test images and as many of uniform noise."""
    images, _ = next(test.batches(NUM_VERIFIED // 2))
    noise = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    return np.concatenate([images, noise])


def _in_words(threshold):
    values = np.atleast_1d(threshold.value)
    if values.size == 1:
        return f"threshold {values[0]:.6g} {threshold.promise}"
    return f"thresholds from {values.min():.6g} to {values.max():.6g} {threshold.promise}"
