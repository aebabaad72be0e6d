"""Confident classifier: outliers at the boundary of the images, made by a generator beside it."""

import keras
import numpy as np
from keras import layers, ops

from kerasood.errors import InvalidInputError, check_not_negative
from kerasood.extractor.input_gradient import with_float_input
from kerasood.networks.augmentation import Standardize
from kerasood.training import objectives
from kerasood.training.trainers.cross_entropy import CrossEntropyTraining, by_name

NOISE = 100


class ConfidentClassifier(CrossEntropyTraining):
    """Cross-entropy on images, uniform answers for images that a GAN makes at their boundary.

    Each step trains three networks: the classifier by ce + weight * KL(uniform, softmax) of as many
    generated images; the discriminator to tell images from generated ones; the generator to be
    taken for images and, by the same weight * KL, to lie where the classifier is uncertain. The two
    of the GAN are the trainer's, learn by Adam (2e-4, beta_1 0.5), and are left behind.

    Args:
        network: keras.Model, images (N, H, W, C) -> logits (N, K); H and W divisible by 8; one that
            can be differentiated by its pixels.
        weight: float >= 0, beta.
        gan_width: int > 0, channels of the generator's last hidden layer are twice as many.
        augmentation: keras layer or None.

    Raises:
        ValueError: images of another size, a negative weight.

    Reference:
        Lee et al., "Training Confidence-calibrated Classifiers for Detecting Out-of-Distribution
        Samples", ICLR 2018, eq. 4 (joint confidence loss); the generator's loss and the DCGAN as
        in its released code.
    """

    objective = "confident_gan"
    formula = "ce + {weight:g} * KL(uniform, softmax of images from a GAN of width {gan_width})"
    scored_by = "msp"
    help = {
        "weight": "weight of the generated images' divergence from uniform [.1]",
        "gan_width": "width of generator and discriminator [64]",
    }

    def __init__(
        self, network, weight: float = 0.1, gan_width: int = 64, augmentation=None, **kwargs
    ):
        check_not_negative(weight=weight)
        super().__init__(network, augmentation, **kwargs)
        shape = network.input_shape[1:]
        if None in shape or shape[0] % 8 or shape[1] % 8:
            raise InvalidInputError(
                f"Expected images of a height and width divisible by 8. Received: shape={shape}"
            )
        self.weight = self.setting(weight, "weight")
        self.gan_width = gan_width
        self.on_pixels = with_float_input(self._extractor or network)
        self.generator = _generator(shape, gan_width)
        self.discriminator = _discriminator(shape, gan_width)
        self.seed_generator = keras.random.SeedGenerator()
        for name in ("generated", "told_apart"):
            self.log_mean(name, in_validation=False)

    def own_optimizers(self, optimizer):
        return [
            (part.trainable_variables, keras.optimizers.Adam(2e-4, beta_1=0.5))
            for part in (self.generator, self.discriminator)
        ]

    def outputs_of(self, images, training):
        if not training:
            return super().outputs_of(images, training)
        pixels = ops.cast(images, "float32")
        count = ops.shape(pixels)[0]
        noise = keras.random.normal((count, NOISE), seed=self.seed_generator)
        made = self.generator(noise, training=True)
        logits = by_name(self.on_pixels(ops.concatenate([pixels, made]), training=True))["logits"]
        return {
            "logits": logits[:count],
            "logits_made": logits[count:],
            "real": self.discriminator(pixels, training=True),
            "made": self.discriminator(ops.stop_gradient(made), training=True),
            "made_for_generator": self._judged(made),
        }

    def _judged(self, made):
        """The discriminator's answers, through which the generator alone learns."""
        frozen = [ops.stop_gradient(v.value) for v in self.discriminator.trainable_variables]
        others = [v.value for v in self.discriminator.non_trainable_variables]
        answers, _ = self.discriminator.stateless_call(frozen, others, made, training=True)
        return answers

    def training_loss(self, labels, ce, outputs):
        if "logits_made" not in outputs:  # in validation
            return ops.mean(ce)
        most = float(np.log(outputs["logits"].shape[-1]))
        divergence = objectives.uniform_cross_entropy(outputs["logits_made"]) - most
        told_apart = ops.softplus(-outputs["real"]) + ops.softplus(outputs["made"])
        fooled = ops.softplus(-outputs["made_for_generator"])
        self.log_mean("generated", divergence)
        self.log_mean("told_apart", told_apart)
        return (
            ops.mean(ce)
            + self.weight * ops.mean(divergence)
            + ops.mean(told_apart)
            + ops.mean(fooled)
        )


def _generator(shape, width):
    """Noise (N, 100) -> images (N, H, W, C) float32, 0-255."""
    height, depth = shape[0] // 8, shape[1] // 8
    hidden = [layers.Dense(height * depth * 8 * width, use_bias=False)]
    hidden += [layers.Reshape((height, depth, 8 * width)), *_normalized()]
    for channels in (4 * width, 2 * width):
        hidden += [_convolution(layers.Conv2DTranspose, channels), *_normalized()]
    last = _convolution(layers.Conv2DTranspose, shape[2])
    return keras.Sequential(
        [keras.Input((NOISE,)), *hidden, last, layers.Activation("sigmoid"),
         _divided(shape, 1 / 255)],
        name="generator",
    )


def _discriminator(shape, width):
    """Images (N, H, W, C), 0-255 -> logits (N, 1) of being one of the data."""
    hidden = [_convolution(layers.Conv2D, 2 * width), layers.LeakyReLU(0.2)]
    for channels in (4 * width, 8 * width):
        normalized = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
        hidden += [_convolution(layers.Conv2D, channels), normalized, layers.LeakyReLU(0.2)]
    return keras.Sequential(
        [keras.Input(shape), _divided(shape, 255.0), *hidden, layers.Flatten(),
         layers.Dense(1, use_bias=False, kernel_initializer=_initializer())],
        name="discriminator",
    )


def _divided(shape, value):
    return Standardize((0.0,) * shape[2], (value,) * shape[2])


def _normalized():
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5), layers.ReLU()


def _convolution(kind, channels):
    return kind(
        channels, 4, strides=2, padding="same", use_bias=False, kernel_initializer=_initializer()
    )


def _initializer():
    return keras.initializers.RandomNormal(stddev=0.02)
