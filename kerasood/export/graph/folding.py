"""Batch normalisation as what it is once training is over: a scale and a shift per channel."""

import keras
import numpy as np
from keras import ops

from kerasood.extractor._keras import has_graph
from kerasood.networks.batch_norm import BatchNormalization


def fold_batch_norm(network):
    """A copy of a graph network with its batch normalisation folded; its answers stay the same.

    Where a convolution or dense layer feeds nothing but a batch normalisation, its kernel and bias
    take up the scale and the shift; elsewhere, as before the first ReLU of a pre-activation block,
    they remain as a depthwise convolution of size 1, which oneDNN fuses with the ReLU, instead of
    the six operations with which Keras works them out on every call. A convolution without a bias
    that feeds nothing but a sum is given one of zeros: without a bias TensorFlow does not fuse it
    with the sum.

    Args:
        network: keras.Model, functional; it stays as it is.

    Returns:
        keras.Model for inference; or `network` itself where there is nothing to fold or its graph
        cannot be copied layer by layer.
    """
    if not has_graph(network):
        return network
    scales = {
        layer.name: _scale_and_shift(layer)
        for layer in network.layers
        if _is_batch_norm(layer) and layer.axis in (-1, 3)
    }
    if not scales:
        return network
    followers = _followers(network)
    feeding = {after: name for name, after in followers.items() if after in scales}
    summed = {name for name, after in followers.items() if _is_summed(network, name, after)}

    def clone(layer):
        if layer.name in summed or layer.name in feeding.values():
            return layer.__class__.from_config({**layer.get_config(), "use_bias": True})
        if layer.name in scales and layer.name not in feeding:
            return ScaleShift(*scales[layer.name], name=layer.name, dtype=layer.dtype_policy)
        return layer.__class__.from_config(layer.get_config())

    def call(layer, *args, **kwargs):
        if layer.name in feeding:
            return args[0]
        kwargs.pop("mask", None)
        return layer(*args, **kwargs)

    folded = keras.models.clone_model(network, clone_function=clone, call_function=call)
    bn_of = {source: name for name, source in feeding.items()}
    for layer in folded.layers:
        if layer.name not in scales and layer.get_weights():
            weights = network.get_layer(layer.name).get_weights()
            if layer.name in bn_of:
                weights = _folded(weights, *scales[bn_of[layer.name]])
            elif layer.name in summed:
                weights.append(np.zeros(weights[0].shape[-1:], "float32"))
            layer.set_weights(weights)
    return folded


class ScaleShift(keras.layers.Layer):
    """`inputs * scale + shift`, both constants of shape (C,), for inputs (N, ..., C)."""

    def __init__(self, scale, shift, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self._scale, self._shift = (np.asarray(values, "float32") for values in (scale, shift))

    def call(self, inputs):
        scale, shift = (ops.cast(values, inputs.dtype) for values in (self._scale, self._shift))
        if len(inputs.shape) != 4:
            return inputs * scale + shift
        kernel = ops.reshape(scale, (1, 1, -1, 1))
        return ops.depthwise_conv(inputs, kernel, data_format="channels_last") + shift


def _scale_and_shift(layer):
    """float64 (C,) each, so that the layer's output is input * scale + shift."""
    mean, variance = (
        ops.convert_to_numpy(value).astype("float64")
        for value in (layer.moving_mean, layer.moving_variance)
    )
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * ops.convert_to_numpy(layer.gamma)
    shift = -mean * scale
    if layer.center:
        shift = shift + ops.convert_to_numpy(layer.beta)
    return scale, shift


def _folded(weights, scale, shift):
    """Kernel (..., C) and bias that scale and shift what the old ones gave."""
    kernel, *bias = (weight.astype("float64") for weight in weights)
    bias = bias[0] if bias else 0.0
    return [(kernel * scale).astype("float32"), (bias * scale + shift).astype("float32")]


def _followers(network):
    """{name of a linear layer: name of the layer that alone reads it}."""
    consumers = {}
    for layer in network.layers:
        for tensor in _tensors(layer, "input"):
            consumers.setdefault(id(tensor), []).append(layer.name)
    outputs = {id(tensor) for tensor in network.outputs}
    followers = {}
    for layer in network.layers:
        linear = _is_plain(layer, keras.layers.Conv2D) or _is_plain(layer, keras.layers.Dense)
        if not linear or layer.activation is not keras.activations.linear:
            continue
        (tensor, *others) = _tensors(layer, "output") or (None,)
        names = consumers.get(id(tensor), [])
        if not others and len(names) == 1 and id(tensor) not in outputs:
            followers[layer.name] = names[0]
    return followers


def _is_summed(network, name, follower):
    layer = network.get_layer(name)
    is_bare = type(layer) is keras.layers.Conv2D and not layer.use_bias
    return is_bare and _is_plain(network.get_layer(follower), keras.layers.Add)


def _is_batch_norm(layer):
    return _is_plain(layer, keras.layers.BatchNormalization) or _is_plain(layer, BatchNormalization)


def _is_plain(layer, kind):
    """Of that very class, which a subclass may have changed, and used once."""
    return type(layer) is kind and len(layer._inbound_nodes) == 1


def _tensors(layer, side):
    try:
        tensors = getattr(layer, side)
    except (AttributeError, ValueError):  # used more than once, or never
        return ()
    return keras.tree.flatten(tensors)
