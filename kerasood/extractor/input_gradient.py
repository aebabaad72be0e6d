"""A step on the image against the gradient of a loss of the model's outputs."""

import keras
from keras import ops

from kerasood.errors import InvalidInputError
from kerasood.extractor.build import with_float_input

PIXEL_RANGE = 255.0


class InputSign(keras.Model):
    """The sign of the gradient of a loss with respect to the pixels; zero counts as positive.

    Args:
        extractor: keras.Model, images -> {"features": (N, D), "logits": (N, K)}.
        loss: function of these outputs, (N,) float32.

    Input: images (N, H, W, C), pixels 0-255. Output: float32 (N, H, W, C), 1 or -1.
    """

    def __init__(self, extractor, loss):
        super().__init__(dtype="float32")
        self.on_pixels = with_float_input(extractor)
        self.loss = loss
        self.built = True

    def call(self, images, training=None):
        gradient = _gradient(self._loss_of, ops.cast(images, "float32"))
        return ops.where(gradient >= 0, 1.0, -1.0)

    def _loss_of(self, pixels):
        return ops.sum(self.loss(self.on_pixels(pixels, training=False)))


class SteppedExtractor(keras.Model):
    """The outputs of an extractor for images that took a step against a gradient first.

    Args:
        extractor: keras.Model, images -> {"features": (N, D), "logits": (N, K)}.
        loss: function of these outputs, (N,) float32, that the step lowers.
        step: float, share of the pixel range 0-255 by which every pixel moves.

    Input and output: those of the extractor.
    """

    def __init__(self, extractor, loss, step):
        super().__init__(dtype="float32")
        self.sign = InputSign(extractor, loss)
        self.step = step
        self.built = True

    def call(self, images, training=None):
        pixels = stepped(ops.cast(images, "float32"), self.sign(images), self.step)
        return self.sign.on_pixels(pixels, training=False)


def stepped(pixels, sign, step):
    """Pixels (N, H, W, C), 0-255, after a step against the sign of a gradient; not clipped."""
    return pixels - PIXEL_RANGE * step * sign


def _gradient(function, pixels):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(pixels)
            value = function(pixels)
        return tape.gradient(value, pixels)
    if backend == "jax":
        import jax

        return jax.grad(function)(pixels)
    raise InvalidInputError(f"Expected the backend tensorflow or jax. Received: {backend}")
