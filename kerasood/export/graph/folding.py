"""Batch normalisation as what it is once training is over: a scale and a shift per channel."""

import keras
import numpy as np
from keras import ops

from kerasood.extractor._keras import counts_and_readers, has_graph
from kerasood.logs import log
from kerasood.networks.batch_norm import BatchNormalization

LARGEST_DIFFERENCE = 1e-4  # of an output's largest value
# Of that very class, which a subclass may have changed.
BATCH_NORMS = (keras.layers.BatchNormalization, BatchNormalization)


def folded_or_same(network):
    """The copy of `fold_batch_norm` where it answers as the network does; else the network.

    Args:
        network: keras.Model of uint8 images (N, H, W, C) -> dict of tensors.

    Returns:
        keras.Model.
    """
    try:
        folded = fold_batch_norm(network)
        if folded is network or _answers_alike(folded, network):
            return folded
        reason = "the folded copy answers otherwise"
    # Layers of others raise whatever they like when they are copied.
    except Exception as error:
        reason = str(error).partition("\n")[0][:200]
    log.warning("The batch normalisation is exported as it is, not folded: %s", reason)
    return network


def _answers_alike(folded, network):
    shape = [size or 64 for size in network.inputs[0].shape[1:]]
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    expected, actual = (model(images, training=False) for model in (network, folded))
    for name, values in expected.items():
        values, others = (ops.convert_to_numpy(tensor) for tensor in (values, actual[name]))
        limit = LARGEST_DIFFERENCE * max(1, np.abs(values).max())
        # NaN compares as false.
        if not np.all(np.abs(values - others) <= limit):
            return False
    return True


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
    counts, readers = counts_and_readers(network)
    # A layer that is used twice stays as it is.
    once = [layer for layer in network.layers if counts[layer.name] == 1]
    scales = {
        layer.name: _scale_and_shift(layer)
        for layer in once
        if type(layer) in BATCH_NORMS and layer.axis in (-1, 3)
    }
    if not scales:
        return network
    followers = {
        layer.name: readers[layer.name][0]
        for layer in once
        if _is_linear(layer) and len(readers[layer.name]) == 1
    }
    feeding = {after: name for name, after in followers.items() if after in scales}
    sums = {layer.name for layer in once if type(layer) is keras.layers.Add}
    summed = {
        name
        for name, after in followers.items()
        if after in sums and _lacks_bias(network.get_layer(name))
    }

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
    taken_up = {source: scales[name] for name, source in feeding.items()}
    weighed = [layer for layer in folded.layers if layer.weights and layer.name not in scales]
    _set_weights(weighed, network, taken_up)
    return folded


def _set_weights(layers, network, taken_up):
    """Gives layers the weights of the network's, with what they take up or a bias of zeros."""
    for layer in layers:
        weights = network.get_layer(layer.name).get_weights()
        if layer.name in taken_up:
            weights = _folded(weights, *taken_up[layer.name])
        elif len(weights) < len(layer.weights):
            weights.append(np.zeros(weights[0].shape[-1:], "float32"))
        layer.set_weights(weights)


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


def _lacks_bias(layer):
    return type(layer) is keras.layers.Conv2D and not layer.use_bias


def _is_linear(layer):
    if type(layer) not in (keras.layers.Conv2D, keras.layers.Dense):
        return False
    is_adapted = layer.lora_enabled or layer.quantization_mode is not None
    return not is_adapted and layer.activation is keras.activations.linear
