"""Finds the head of a model without a graph by running it on a few images."""

import keras
import numpy as np
from keras import ops

from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import sublayers
from kerasood.extractor.capturing_extractor import as_vectors, channels_first
from kerasood.extractor.head import QUANTISED, is_head, num_units, weights_of
from kerasood.extractor.recording import recorded
from kerasood.extractor.stages import LayerOutput, channels_last, height_of, last_of_stages

_ANY_SIZE = 64  # pixels, for a model that takes images of any size

ANSWERS_DIFFER = (
    "Expected a model that gives an image one answer, on which thresholds rest. Received: random "
    "numbers at inference, of {}: call its dropout without training=True (Monte Carlo "
    "dropout averages many answers, which would have to be a model of its own)"
)


def plan_capture(network, image_shape, head_layer, feature_layer, hidden_layers):
    """Finds the layers of a model that give its features, logits and hidden activations.

    The head is the layer whose weights, applied to its input, reproduce the model's output,
    directly or through a softmax, on random images.

    Args:
        network: keras.Model that was built.
        image_shape: (H, W, C), None for any size; or None, if the model was called before.
        head_layer: str or None: name or attribute path of the head, if several would do.
        feature_layer: str or None.
        hidden_layers: tuple of str, or "auto".

    Returns:
        dict, the `plan` of a CapturingExtractor.

    Raises:
        ValueError: the model cannot be run, or no layer or more than one reproduces its output.
    """
    if not network.built:
        raise InvalidInputError(_unbuilt(network))
    image_shape = tuple(image_shape or _image_shape(network))
    layers = sublayers(network)
    calls, output, dtype = _run(network, layers, image_shape)
    _, again, _ = _run(network, layers, image_shape)
    if ops.any(output != again):
        raise InvalidInputError(ANSWERS_DIFFER.format(f"model={network.name!r}"))
    head = None if head_layer is None else find_by_name(network, layers, head_layer)
    number, head_call = _find_head(network, layers, calls, output, head)
    if hidden_layers == "auto":
        hidden = _stages(network, calls, image_shape)
    else:
        found = {name: find_by_name(network, layers, name) for name in hidden_layers}
        hidden = {name: _called_once(calls, layer, name) for name, layer in found.items()}
    plan = {"image_shape": list(image_shape), "dtype": dtype, "head": number}
    plan |= {"head_call": head_call, "features": None}
    if feature_layer is not None:
        found = find_by_name(network, layers, feature_layer)
        shape = _called_once(calls, found, feature_layer).output.shape
        if len(shape) != 2:
            raise InvalidInputError(
                f"Expected features of shape (N, D). Received: shape={tuple(shape)}"
            )
        plan["features"] = _number(layers, found)
    plan["hidden"] = {name: _number(layers, call.layer) for name, call in hidden.items()}
    plan["hidden_calls"] = {name: _position(calls, call) for name, call in hidden.items()}
    return plan


def find_by_name(network, layers, name):
    """The layer of that name, or at that attribute path, such as "classifier.head".

    Raises:
        ValueError: there is none, or several share the name.
    """
    found = [layer for layer in layers if layer.name == name]
    if not found:
        attribute = network
        for part in name.split("."):
            attribute = getattr(attribute, part, None)
        found = [layer for layer in layers if layer is attribute]
    if len(found) != 1:
        names = ", ".join(layer.name for layer in layers)
        raise InvalidInputError(
            f"Expected the name of one layer ({names}), or the attribute that holds it. Received: "
            f"{name!r}, which {len(found)} layers have"
        )
    return found[0]


def _image_shape(network):
    shape = (network.get_build_config() or {}).get("input_shape")
    if not isinstance(shape, list | tuple) or not all(
        size is None or isinstance(size, int) for size in shape
    ):
        raise InvalidInputError(_unbuilt(network) + " that was built with several inputs")
    return shape[1:]


def _unbuilt(network):
    return (
        "Expected a model that was built by a call on images, or else their image_shape. "
        f"Received: model={network.name!r} of class {type(network).__name__}"
    )


def _run(network, layers, image_shape):
    """The calls of all layers on random images, the output, and the dtype that the model takes.

    Floats first: a model that wants integers mostly casts them itself, while uint8 images
    overflow, or fail, in one that was trained on floats.
    """
    images = np.random.default_rng(0).integers(
        0, 256, (4, *(size or _ANY_SIZE for size in image_shape))
    )
    images = images * np.linspace(0.1, 1, 4).reshape(-1, *(1 for _ in image_shape))
    # A layer in training mode, whatever it is told, would learn from these images.
    states = [(weight, ops.convert_to_numpy(weight)) for weight in network.non_trainable_weights]
    failure = None
    for dtype in ("float32", "uint8"):
        try:
            with recorded(layers) as calls:
                output = network(ops.convert_to_tensor(images.astype(dtype)), training=False)
            break
        except Exception as error:
            failure = failure or error
        finally:
            for weight, state in states:
                weight.assign(state)
    else:
        raise InvalidInputError(
            f"Expected a model of images of shape {image_shape}. Received: "
            f"model={network.name!r}, which fails on them with a {type(failure).__name__}"
        ) from failure
    if len(getattr(output, "shape", ())) != 2:
        received = keras.tree.map_structure(lambda part: tuple(part.shape), output)
        raise InvalidInputError(f"Expected one output of shape (N, K). Received: {received}")
    return [call for call in calls if _has_values(call)], output, dtype


def _has_values(call):
    """False inside a function that the model compiles itself, where tensors are symbols."""
    tensors = keras.tree.flatten((call.inputs, call.output))
    symbols = ("graph", "_trace")  # of TensorFlow and JAX
    return all(getattr(tensor, name, None) is None for tensor in tensors for name in symbols)


def _find_head(network, layers, calls, output, only):
    """(number of the layer, which of its calls) whose logits explain the output."""
    expected = ops.convert_to_numpy(ops.cast(output, "float32"))
    found = {}
    for call in calls:
        if call.layer is only or only is None and is_head(call.layer):
            if _explains(call, expected):
                found[_number(layers, call.layer)] = _position(calls, call)
    quantised = [layer.name for layer in layers if getattr(layer, "quantization_mode", None)]
    if len(found) != 1 and quantised:
        raise InvalidInputError(QUANTISED.format(quantised[-1], "fewer bits"))
    if len(found) != 1:
        names = [layers[number].name for number in found]
        raise InvalidInputError(
            "Expected one Dense layer, or 1x1 convolution, whose output gives the model's, "
            "directly or through a softmax, and that no function compiled before calls (name it "
            "by head_layer where there are several). Received: "
            f"{names or 'none'} in model={network.name!r} of class {type(network).__name__}"
        )
    return found.popitem()


def _explains(call, expected):
    if not is_head(call.layer) or len(call.inputs.shape) < 2:
        return False
    first = getattr(call.layer, "data_format", None) == "channels_first"
    features = ops.convert_to_numpy(as_vectors(call.inputs, first)).astype("float64")
    logits = weights_of(call.layer).logits(features)
    if num_units(call.layer) == 1:
        # The output is z or sigmoid(z), where the logits are (0, z).
        odds = np.exp(-np.logaddexp(0, -logits[:, 1:]))
        return _is_any_of(expected, (logits[:, 1:], odds), call.layer)
    if logits.shape != expected.shape:
        return False
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return _is_any_of(
        expected, (logits, log_probabilities, np.exp(log_probabilities)), call.layer
    )


def _is_any_of(expected, outputs, layer):
    # Accelerators multiply float32 matrices to three digits (TF32); bfloat16 has two.
    tolerance = 5e-3 if layer.compute_dtype == "float32" else 5e-2
    return any(
        values.shape == expected.shape
        and np.all(np.abs(values - expected) <= tolerance * np.abs(values).max())
        for values in outputs
    )


def _called_once(calls, layer, name):
    found = [call for call in calls if call.layer is layer]
    if len(found) != 1:
        raise InvalidInputError(
            f"Expected a layer called once. Received: {name!r}, called {len(found)} times"
        )
    return found[0]


def _stages(network, calls, image_shape):
    """{name: call} of the last layers before each downsampling."""
    first = channels_first(network)
    outputs = [
        LayerOutput(call.layer.name, channels_last(call.output.shape, first), call.layer, call)
        for call in calls
        if hasattr(call.output, "shape") and not sublayers(call.layer)
    ]
    chosen = last_of_stages(outputs, height_of((None, *image_shape)) or _ANY_SIZE)
    return {output.name: output.located for output in chosen}


def _position(calls, call):
    """Number of a call among those of its layer."""
    own = [other for other in calls if other.layer is call.layer]
    return next(number for number, other in enumerate(own) if other is call)


def _number(layers, layer):
    return next(number for number, other in enumerate(layers) if other is layer)
