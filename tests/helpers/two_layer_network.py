"""A network of two layers, its training in a line, and its losses in float64."""

import keras
import numpy as np
from keras import layers
from tiny_models import random_images

from kerasood.extractor.build import build_extractor
from kerasood.training.optimizers import NesterovSGD

IMAGES = random_images((8, 8, 3))
LABELS = np.arange(12) % 4


def two_layers(policy="float32"):
    """Pixels / 64 - 2, six ReLU features, four logits; no dropout and no batch norm."""
    keras.utils.set_random_seed(0)
    policy = keras.dtype_policies.get(policy)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), dtype="uint8"),
            layers.Rescaling(1 / 64, offset=-2, dtype=policy),
            layers.Flatten(dtype=policy),
            layers.Dense(6, activation="relu", bias_initializer="ones", dtype=policy),
            layers.Dense(4, bias_initializer="ones", dtype="float32"),
        ]
    )


def compiled(trainer, learning_rate=0.01, how="eager"):
    optimizer = NesterovSGD(learning_rate, momentum=0.0, l2=0.0)
    trainer.compile(optimizer, run_eagerly=how == "eager", jit_compile=how == "xla")
    return trainer


def fit(trainer, images=IMAGES, labels=LABELS, batch_size=128, epochs=1, **arguments):
    """The history of each quantity, one value per epoch."""
    return trainer.fit(
        images, labels, batch_size=batch_size, epochs=epochs, verbose=0, **arguments
    ).history


def measured(network, images=IMAGES, labels=LABELS, site="logits"):
    """Mean ce, accuracy, energy and L1 norm in float64 from a network's outputs."""
    outputs = {k: np.asarray(v, "float64") for k, v in build_extractor(network)(images).items()}
    logits = outputs["logits"]
    normalizers = np.log(np.exp(logits).sum(axis=1))
    return {
        "ce": np.mean(normalizers - logits[np.arange(len(labels)), labels]),
        "accuracy": np.mean(logits.argmax(axis=1) == labels),
        "energy": -np.mean(normalizers),
        "l1": np.mean(np.abs(outputs[site]).sum(axis=1)),
    }
