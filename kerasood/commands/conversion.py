"""The threshold of a quantised file, and the cost of quantising it."""

import functools

import numpy as np

from kerasood.commands.common import console
from kerasood.commands.named_sets import named_sets
from kerasood.data.roles import ood_names
from kerasood.errors import InvalidInputError
from kerasood.evaluation.ood_sets import open_sets
from kerasood.export import Quantization, run_exported
from kerasood.export.formats.converted import (
    compare_with_keras,
    comparison_table,
    spread_batches,
)
from kerasood.files import write_json
from kerasood.thresholds import Promise, calibrate_outputs

NUM_REPRESENTATIVE = 128
COMPARISON_FILE = "conversion.json"


def quantization_of(config, subject):
    """The Quantization of an ExportConfig, or None.

    Args:
        config: ExportConfig.
        subject: Subject.

    Raises:
        ValueError: int8 needs training images, and they are not at hand.
    """
    if config.quantization == "none":
        return None
    representative = None
    if config.quantization == "int8":
        if subject.images.training is None:
            raise InvalidInputError(
                "Expected training images that are at hand, for the ranges of the layers in int8. "
                f"Received: none for {subject.label}"
            )
        batches = spread_batches(subject.images.training, NUM_REPRESENTATIVE)
        representative = np.concatenate([images for images, _ in batches])
    recalibrate = functools.partial(_recalibrated, config, subject.images.calibrating)
    return Quantization(config.quantization, representative, recalibrate)


def _recalibrated(config, calibrating, answer):
    """The threshold of a converted file, from its own answers to the calibration images."""
    answers = [answer(images) for images, _ in calibrating.batches(config.batch_size)]
    scores, logits = (np.concatenate([a[name] for a in answers]) for name in ("score", "logits"))
    promise = Promise(config.tpr, config.confidence, config.guarantee, config.per_class)
    return calibrate_outputs(scores, logits, promise)


def evaluation_sets(config, dataset):
    """{name: ImageSource} of the OOD sets that a quantised file is evaluated on."""
    if config.quantization == "none":
        return {}
    sources, _ = open_sets(
        named_sets(config.ood),
        ood_names(dataset),
        config.data.replace(download=False),
        required=False,
    )
    return sources


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
