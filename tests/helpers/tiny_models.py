"""Networks small enough to export in a second, and images that tell them apart."""

import keras
import numpy as np

from kerasood.detectors import DETECTORS
from kerasood.networks.wide_resnet import WideResNet
from kerasood.serving import OODModel

# The detectors that any classifier's features and logits are enough for.
DETECTORS_FOR_ANY = {
    name: kind for name, kind in DETECTORS.items() if not kind().missing(("features", "logits"))
}


def small_network(num_classes=4, policy="float32"):
    """A CNN whose logits are spread over several nats on random images."""
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3), dtype="uint8", name="images")
    x = keras.layers.Rescaling(1 / 64, offset=-2, dtype=policy)(images)
    x = keras.layers.Conv2D(6, 3, activation="relu", dtype=policy)(x)
    x = keras.layers.BatchNormalization(dtype=policy)(x)
    x = keras.layers.Flatten(dtype=policy)(x)
    x = keras.layers.Dropout(0.5, dtype=policy)(x)
    logits = keras.layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(images, logits)


def random_images(image_shape, num_images=12):
    """Images of several contrasts, so that scores differ."""
    generator = np.random.default_rng(0)
    contrast = np.linspace(0.1, 1, num_images)[:, None, None, None]
    pixels = generator.integers(0, 256, (num_images, *image_shape)) * contrast
    return pixels.astype("uint8")


def wide_resnet():
    """WRN-10-1 with batch statistics and a head that spread its logits over several nats."""
    keras.utils.set_random_seed(1)
    network = WideResNet(10, 1, 10, 0.3)
    network(random_images((32, 32, 3)), training=True)
    head = network.get_layer("logits")
    head.kernel.assign(10 * head.kernel)
    return network


def ood_model(network, detector):
    """An OODModel whose threshold flags half of `random_images`, none of them nearly."""
    images = random_images(network.input_shape[1:])
    scores = np.asarray(OODModel(network, detector, 0.0)(images)["score"])
    return OODModel(network, detector, np.median(scores))


def constant_network(logits):
    """A network that answers with the same logits whatever it sees."""
    images = keras.Input((8, 8, 3), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(0.0)(images))
    head = keras.layers.Dense(len(logits), bias_initializer=lambda *a, **k: np.array(logits))
    return keras.Model(images, head(x))


def answers(model, images):
    return {name: np.asarray(output) for name, output in model(images).items()}
