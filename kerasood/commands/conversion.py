"""What `python -m export` adds for a quantised file: its threshold, and what it costs."""

import dataclasses
import functools

import numpy as np

from kerasood.commands.common import console
from kerasood.commands.ood_sets import wanted_sets
from kerasood.data.division import OOD_SPLIT
from kerasood.data.open import open_source
from kerasood.data.registry import ood_names
from kerasood.data.splits import halves
from kerasood.errors import InvalidInputError
from kerasood.evaluation.fitting import calibrating_rows
from kerasood.export import Quantization, run_exported
from kerasood.export.formats.converted import (
    compare_with_keras,
    comparison_table,
    spread_batches,
)
from kerasood.files import write_json
from kerasood.serving import calibrate_outputs

NUM_REPRESENTATIVE = 128
COMPARISON_FILE = "conversion.json"


def quantization_of(config, candidate, test, detector):
    """The Quantization of an ExportConfig, or None.

    Args:
        config: ExportConfig.
        candidate: Candidate.
        test: ImageSource of the test images.
        detector: Detector, fitted.

    Raises:
        ValueError: int8 needs training images, and they are not at hand.
    """
    if config.quantization == "none":
        return None
    representative = None
    if config.quantization == "int8":
        if candidate.training is None:
            raise InvalidInputError(
                "Expected training images that are at hand, for the ranges of the layers in int8. "
                f"Received: none for {candidate.label}"
            )
        batches = spread_batches(candidate.training, NUM_REPRESENTATIVE)
        representative = np.concatenate([images for images, _ in batches])
    recalibrate = functools.partial(_recalibrated, config, candidate, test, detector)
    return Quantization(config.quantization, representative, recalibrate)


def _recalibrated(config, candidate, test, detector, answer):
    """The threshold of a converted file, from its own answers to the calibration images."""
    batches = calibration_images(config, candidate, test, detector)
    answers = [answer(images) for images in batches]
    scores, logits = (np.concatenate([a[name] for a in answers]) for name in ("score", "logits"))
    return calibrate_outputs(
        scores, logits, config.tpr, config.confidence, config.guarantee, config.per_class
    )


def calibration_images(config, candidate, test, detector, num_images=None):
    """The images that a detector's threshold is calibrated on: batches, as a generator.

    Those are not among them that had a say in the detector's parameters.

    Args:
        config: ExportConfig.
        candidate: Candidate.
        test: ImageSource of the test images.
        detector: Detector, fitted.
        num_images: int, at most that many, evenly spaced; None: all.
    """
    if config.calibration:
        source = open_source(config.calibration, OOD_SPLIT, config.data)
        rows = np.arange(source.num_images)
    elif candidate.calibration is not None:
        source = candidate.calibration
        rows = calibrating_rows(detector, source.num_images)
    else:
        source, rows = test, np.sort(halves(test.num_images, config.seed)[0])
    if num_images is not None and len(rows) > num_images:
        rows = rows[np.linspace(0, len(rows) - 1, num_images).astype(int)]
    for images, _ in source.subset(rows).batches(config.batch_size):
        yield images


def evaluation_sets(config, dataset):
    """{name: ImageSource} of the OOD sets that a quantised file is evaluated on."""
    if config.quantization == "none":
        return {}
    at_hand = dataclasses.replace(config, download=False)
    wanted, _ = wanted_sets(at_hand, ood_names(dataset))
    return {
        name: open_source(path, OOD_SPLIT, at_hand.data)
        for name, path in wanted.items()
    }


def report_conversion(config, ood_model, exported, test, sources):
    """Prints and writes what the quantisation costs, on images, beside the file."""
    path = exported.paths["tflite"]
    comparison = compare_with_keras(
        ood_model,
        functools.partial(run_exported, path),
        test,
        sources,
        config.evaluation_images,
        config.batch_size,
    )
    content = {"quantization": config.quantization, "dataset": test.name, **comparison}
    write_json(exported.folder / COMPARISON_FILE, content)
    num_images = config.evaluation_images
    of_each = f"at most {num_images:,} images of each set" if num_images else "all images"
    console.print(f"\nbefore: Keras, after: {path.name} in {config.quantization}; {of_each}; %")
    console.print(comparison_table(comparison), markup=False)
