"""The linear head of a classifier: its weights, and the layer that applies them in float32.

A head of one unit is a binary classifier: its logit z is that of the second class and the first has
logit 0, so that softmax((0, z)) = (1 - sigmoid(z), sigmoid(z)).
"""

import typing

import keras
import numpy as np
from keras import layers, ops

QUANTISED = (
    "Expected a head of float weights, which give its logits exactly: take the model as it was "
    "before quantize(), and quantise when it is exported. Received: {!r} in {}"
)


class Head(typing.NamedTuple):
    """The linear map from features to logits.

    kernel: (D, K) float32 array.
    bias: (K,) float32 array.
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features):
        """Logits of features: features @ kernel + bias.

        Args:
            features: (N, D) float32, array or tensor.

        Returns:
            (N, K), array or tensor as the features are.
        """
        return features @ self.kernel + self.bias


@keras.saving.register_keras_serializable(package="kerasood")
class LinearHead(layers.Layer):
    """The logits of a head layer in float32, without its activation; the weights are shared.

    Args:
        head: Dense, or Conv2D of size 1x1, which acts on each vector as a Dense does.

    Input: float32 (N, D). Output: float32 (N, K).
    """

    def __init__(self, head, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.head = weighted_layer(head)

    def build(self, features_shape):
        if not self.head.built:
            spatial = (1, 1) if is_convolution(self.head) else ()
            first = is_convolution(self.head) and self.head.data_format == "channels_first"
            channels = features_shape[-1:]
            self.head.build((None, *(channels + spatial if first else spatial + channels)))

    def call(self, features):
        return linear(self.head, features)

    def compute_output_shape(self, features_shape):
        return (features_shape[0], num_classes(self.head))

    def get_config(self):
        return {**super().get_config(), "head": keras.saving.serialize_keras_object(self.head)}

    @classmethod
    def from_config(cls, config):
        head = keras.saving.deserialize_keras_object(config["head"])
        return cls(**{**config, "head": head})


def is_head(layer):
    """True where a layer is a fixed linear map of each input vector, but for its activation.

    Args:
        layer: anything.

    Returns:
        bool: True for Dense, 1x1 Conv2D and LinearHead; False for subclasses with another `call`
            and for quantised layers.
    """
    if isinstance(layer, LinearHead):
        return True
    if getattr(layer, "quantization_mode", None) is not None:
        return False
    if isinstance(layer, layers.Dense):
        return type(layer).call is layers.Dense.call
    return is_convolution(layer) and (
        layer.kernel_size == layer.strides == (1, 1) and layer.groups == 1
    )


def is_convolution(layer):
    return isinstance(layer, layers.Conv2D) and type(layer).call is layers.Conv2D.call


def num_units(layer):
    """Number of values that a head layer gives: K, or 1 for a binary classifier."""
    layer = weighted_layer(layer)
    return layer.filters if is_convolution(layer) else layer.units


def output_width(layer):
    """Columns of what a head layer itself returns."""
    return num_classes(layer) if isinstance(layer, LinearHead) else num_units(layer)


def num_classes(layer):
    """K of a head layer; 2 of one with a single unit."""
    return max(num_units(layer), 2)


def linear(layer, features):
    """Logits (N, K) of features (N, D), both float32, by the weights of a head layer."""
    layer = weighted_layer(layer)
    kernel = ops.reshape(layer.kernel, (-1, num_units(layer)))
    logits = ops.matmul(features, ops.cast(kernel, "float32"))
    if layer.bias is not None:
        logits = logits + ops.cast(layer.bias, "float32")
    if num_units(layer) > 1:
        return logits
    return ops.concatenate([ops.zeros_like(logits), logits], axis=-1)


def weights_of(layer):
    """The weights of a head layer as a Head."""
    layer = weighted_layer(layer)
    count = num_units(layer)
    kernel = ops.convert_to_numpy(ops.cast(layer.kernel, "float32")).reshape(-1, count)
    bias = np.zeros(count, "float32")
    if layer.bias is not None:
        bias = ops.convert_to_numpy(ops.cast(layer.bias, "float32"))
    if count > 1:
        return Head(kernel, bias)
    return Head(np.pad(kernel, ((0, 0), (1, 0))), np.pad(bias, (1, 0)))


def weighted_layer(layer):
    """The layer that owns the weights: that of a LinearHead, or the layer itself."""
    return layer.head if isinstance(layer, LinearHead) else layer


def is_linear(activation):
    return activation is None or activation is keras.activations.linear


def is_sigmoid(activation):
    return activation in (keras.activations.sigmoid, ops.sigmoid)


def is_softmax(activation):
    """True for Keras's softmax and its logarithm."""
    known = (keras.activations.softmax, keras.activations.log_softmax)
    return activation in (*known, ops.softmax, ops.log_softmax)
