"""Dropout by 16 random bits per number where TensorFlow trains; Keras's own layer elsewhere."""

import keras
from keras import ops

# Values of 16 bits: the rate that acts differs from the wanted one by 1 / 131,072 at most.
_VALUES = 2**16


@keras.saving.register_keras_serializable(package="kerasood")
class Dropout(keras.layers.Dropout):
    """Keras's layer of the same name, with a third of its cost in training on TensorFlow.

    Keras draws a float per number, in bfloat16 of 7 bits, which makes a rate of 0.3 one of 0.305.
    Other backends, a `noise_shape` and an odd number of channels take Keras's way.

    Input and output: (N, ..., C) in the layer's compute dtype.
    """

    def call(self, inputs, training=False):
        if training and 0 < self.rate < 1 and self._can_halve(inputs):
            return self._dropped(inputs)
        return super().call(inputs, training=training)

    def _can_halve(self, inputs):
        channels = inputs.shape[-1] if len(inputs.shape) > 1 else None
        return (
            keras.backend.backend() == "tensorflow"
            and self.noise_shape is None
            and channels is not None
            and channels % 2 == 0
        )

    def _dropped(self, inputs):
        keep = _random_16_bits(ops.shape(inputs), self.seed_generator.next())
        keep = keep >= ops.cast(round(self.rate * _VALUES), "uint16")
        return inputs * (ops.cast(keep, inputs.dtype) * (1 / (1 - self.rate)))


def _random_16_bits(shape, seed):
    """uint16 of a shape whose last dimension is even: two of each random number of 32 bits."""
    import tensorflow as tf

    pairs = (*shape[:-1], shape[-1] // 2)
    numbers = tf.random.stateless_uniform(
        pairs, tf.cast(seed, "int64"), minval=None, maxval=None, dtype="uint32"
    )
    return tf.reshape(tf.bitcast(numbers, tf.uint16), shape)
