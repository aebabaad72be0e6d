"""Batch normalisation in one operation of TensorFlow; Keras's own layer elsewhere."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasood")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer of the same name, computed by TensorFlow's fused operation.

    Weights, names, configuration and numbers are those of `keras.layers.BatchNormalization`, so a
    file saved with either loads into the other. On TensorFlow Keras works in separate float32
    operations, which made up half of a training step on a CPU; the fused operation reads bfloat16
    data and keeps float32 statistics. Other backends, masks, renorm, synchronized statistics and
    data that are not (N, H, W, C) take Keras's way.

    Input and output: (N, ..., C) in the layer's compute dtype.
    """

    def call(self, inputs, training=None, mask=None):
        if mask is None and self._can_fuse(inputs):
            return self._fused(inputs, bool(training and self.trainable))
        return super().call(inputs, training=training, mask=mask)

    def _can_fuse(self, inputs):
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and keras.backend.standardize_dtype(inputs.dtype) in _STATISTICS_IN_FLOAT32
            # Keras 3.12, the last for Python 3.10, has no renorm.
            and not (getattr(self, "renorm", False) or self.synchronized)
        )

    def _fused(self, inputs, by_batch):
        import tensorflow as tf

        channels = inputs.shape[-1]
        mean = variance = tf.zeros(0)
        if not by_batch:
            mean = ops.cast(self.moving_mean, "float32")
            variance = ops.cast(self.moving_variance, "float32")
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=ops.cast(self.gamma, "float32") if self.scale else tf.ones(channels),
            offset=ops.cast(self.beta, "float32") if self.center else tf.zeros(channels),
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=by_batch,
        )
        outputs = ops.cast(outputs, self.compute_dtype)
        if not by_batch:
            return outputs
        # The operation multiplies its variance by n / (n - 1), as PyTorch's moving variance does.
        # Keras's layer does not, nor does any other backend: all of them shall end at one number.
        num_values = tf.cast(tf.size(inputs) // channels, "float32")
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance * (1 - 1 / num_values))
        return outputs

    def _move(self, average, value):
        kept = average * self.momentum
        average.assign(kept + ops.cast(value, average.dtype) * (1 - self.momentum))


_STATISTICS_IN_FLOAT32 = ("float32", "bfloat16", "float16")
