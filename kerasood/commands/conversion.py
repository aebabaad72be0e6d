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


def quantization_of(config, candidate, test):
    """The Quantization of an ExportConfig, or None.

    Args:
        config: ExportConfig.
        candidate: Candidate.
        test: ImageSource of the test images.

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
    recalibrate = functools.partial(_recalibrated, config, candidate, test)
    return Quantization(config.quantization, representative, recalibrate)


def _recalibrated(config, candidate, test, answer):
    """The threshold of a converted file, from its own answers to the calibration images."""
    answers = [answer(images) for images in _calibration_images(config, candidate, test)]
    scores, logits = (np.concatenate([a[name] for a in answers]) for name in ("score", "logits"))
    return calibrate_outputs(
        scores, logits, config.tpr, config.confidence, config.guarantee, config.per_class
    )


def _calibration_images(config, candidate, test):
    """Yields batches of the images that the Keras model's threshold was calibrated on."""
    source = candidate.calibration
    if config.calibration:
        source = open_source(config.calibration, OOD_SPLIT, config.data)
    if source is None:
        source = test.subset(halves(test.num_images, config.seed)[0])
    for images, _ in source.batches(config.batch_size):
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
