"""A trainer of each objective on two layers, ready for a step, and what its batch shows it."""

import keras
import numpy as np
from two_layer_network import IMAGES, LABELS, two_layers

from kerasood.training import OBJECTIVES
from kerasood.training.batches import Batches
from kerasood.training.optimizers import NesterovSGD

OUTLIERS = np.random.default_rng(5).integers(0, 256, (24, 8, 8, 3)).astype("uint8")
# What they take from a base or cannot have by default with so few images.
PARAMETERS = {
    "oecc": {"accuracy": 0.75},
    "energy": {"margin_in": -3.0, "margin_out": -1.8},
    "udg": {"groups": 4},
    "confident_gan": {"gan_width": 1},
}


def ready(objective, learning_rate=0.0, l2=0.0, how="eager", network=None, **parameters):
    """(trainer, batches of all images) after `begin_training` and `begin_epoch`, compiled."""
    kind = OBJECTIVES[objective]
    settled = kind.settle(PARAMETERS.get(objective, {}) | parameters)
    network = kind.network_for(two_layers() if network is None else network, settled)
    trainer = kind(network, **settled)
    outliers = OUTLIERS if kind.needs_outliers else None
    batches = Batches(IMAGES, LABELS, len(IMAGES), 1, outliers, kind)
    trainer.begin_training(batches)
    trainer.compile(NesterovSGD(learning_rate, momentum=0.0, l2=l2), run_eagerly=how == "eager")
    batches.begin_epoch(0, trainer.begin_epoch(0, outliers))
    return trainer, batches


def step(trainer, batches):
    """{quantity: float} of one step on all images."""
    trainer.reset_metrics()
    return trainer.train_on_batch(*batches[0], return_dict=True)


def outputs_of(trainer, images):
    """Outputs of the network in float64."""
    outputs = trainer.outputs_of(images, training=False)
    arrays = {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}
    return {name: value.astype("float64") for name, value in arrays.items()}


def seen(trainer, batches):
    """(labels, outputs of the images, outputs of the outliers) of the batch."""
    inputs, labels = batches[0]
    if not isinstance(inputs, dict):
        return labels, outputs_of(trainer, inputs), None
    return labels, *(outputs_of(trainer, inputs[name]) for name in ("images", "outliers"))
