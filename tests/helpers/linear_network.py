"""A network whose input gradient is worked by hand: logits = tanh(standardised @ A) @ B + b."""

import keras
import numpy as np

from kerasood.extractor.build import build_extractor

SIDE = 3


class Scale(keras.layers.Layer):
    """Pixels 0-255 as 0-1, standardised by a channel's mean and deviation."""

    def call(self, images):
        pixels = keras.ops.cast(images, "float32") / 255.0
        return (pixels - keras.ops.array(MEAN, "float32")) / keras.ops.array(STD, "float32")


MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
GENERATOR = np.random.default_rng(5)
HIDDEN = GENERATOR.normal(0, 0.3, (SIDE * SIDE * 3, 5))
KERNEL, BIAS = GENERATOR.normal(0, 1.5, (5, 4)), GENERATOR.normal(0, 0.2, 4)


def extractor(dtype="uint8"):
    """The network as an extractor of uint8, or float32, images (N, 3, 3, 3)."""
    images = keras.Input((SIDE, SIDE, 3), dtype=dtype)
    x = keras.layers.Flatten()(Scale()(images))
    hidden = keras.layers.Dense(5, activation="tanh", use_bias=False)
    head = keras.layers.Dense(4)
    model = keras.Model(images, head(hidden(x)))
    hidden.set_weights([HIDDEN])
    head.set_weights([KERNEL, BIAS])
    return build_extractor(model)


def forward(pixels):
    """Features and logits in float64 of pixels (N, 3, 3, 3), 0-255."""
    standardized = (pixels / 255.0 - np.array(MEAN)) / np.array(STD)
    features = np.tanh(standardized.reshape(len(pixels), -1) @ HIDDEN)
    return features, features @ KERNEL + BIAS


def gradient(pixels, of_features):
    """Gradient of a loss with respect to standardised pixels, from that with respect to features.

    Args:
        pixels: (N, 3, 3, 3) float64, 0-255.
        of_features: (N, 5) float64.

    Returns:
        (N, 3, 3, 3) float64.
    """
    features, _ = forward(pixels)
    flat = (of_features * (1 - features**2)) @ HIDDEN.T
    return flat.reshape(pixels.shape)


def reference_step(pixels, of_features, magnitude):
    """The reference's step: in standardised space, the sign divided by the channel's deviation.

    Returns:
        pixels, 0-255, after the step.
    """
    sign = np.where(gradient(pixels, of_features) >= 0, 1.0, -1.0)
    standardized = (pixels / 255.0 - np.array(MEAN)) / np.array(STD)
    standardized = standardized - magnitude * sign / np.array(STD)
    return (standardized * np.array(STD) + np.array(MEAN)) * 255.0


def images(num_images=12, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num_images, SIDE, SIDE, 3), np.uint8)
