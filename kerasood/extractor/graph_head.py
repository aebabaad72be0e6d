"""From the output of a classifier back to its linear head."""

import math
import typing

import keras
from keras import layers

from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import has_graph, sublayers
from kerasood.extractor.affine import affine_weights
from kerasood.extractor.graph import TensorInGraph, is_input, resolve, tensors_at
from kerasood.extractor.head import (
    QUANTISED,
    is_head,
    is_linear,
    is_sigmoid,
    is_softmax,
    num_units,
    output_width,
)

# What may follow the head and leaves the logits as they are at inference. Layers and the
# operations of keras.ops share these names.
_IDENTITIES = {
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "SpatialDropout1D",
    "SpatialDropout2D",
}
_RESHAPES = {"ExpandDims", "Flatten", "Reshape", "Squeeze"}
_SOFTMAXES = {"LogSoftmax", "Softmax"}
MULTI_LABEL = (
    "Expected a classifier of images of one class each, that ends in logits or a softmax. "
    "Received: a sigmoid over {count} outputs in {name!r}, which is a multi-label head: energies "
    "and thresholds would be needed for each label, which kerasood does not have"
)
_POOLINGS = {"GlobalAveragePooling1D", "GlobalAveragePooling2D"}


class Tail(typing.NamedTuple):
    """The way from the features to logits that no Dense makes alone.

    Args:
        logits: TensorInGraph.
        of_directions: whether they are affine in the directions of the features.
        weights: (kernel, bias) float32.
    """

    logits: TensorInGraph
    of_directions: bool
    weights: tuple


class FoundHead(typing.NamedTuple):
    """The linear head of a graph.

    Args:
        layer: the layer with its weights.
        inputs: TensorInGraph that it is called on.
        plain: whether its float32 output is the model's.
        softmax: whether a softmax follows.
        tail: Tail, where more than the layer makes the logits; or None.
    """

    layer: layers.Layer
    inputs: TensorInGraph
    plain: bool
    softmax: bool
    tail: Tail | None = None


def find_head(model, output=None):
    """The layer whose weights make the logits of a graph model.

    Softmax, dropout, casts and reshaping may follow it, and global average pooling, which commutes
    with a linear map of every pixel. So may whatever is affine, such as a temperature or batch
    normalisation; and a layer of one's own that is affine in its input, or in its direction, is a
    head too: both are told by their values.

    Args:
        model: keras.Model with a graph.
        output: KerasTensor of logits or probabilities (N, K); by default the model's one output.

    Returns:
        FoundHead; None where a layer that calls layers of its own hides the way.

    Raises:
        ValueError: the logits are no linear function of any features.
    """
    if output is None:
        check_single(model)
        output = model.outputs[0]
    if len(output.shape) != 2 or output.shape[-1] is None:
        raise InvalidInputError(
            f"Expected an output of shape (N, K). Received: shape={output.shape}"
        )
    located, passed, doubtful = resolve(model, TensorInGraph((), output)), [], []
    logits = located
    while not is_input(model, located):
        operation = located.call.operation
        inputs = resolve(model, TensorInGraph(located.calls, located.call.input_tensors[0]))
        if _is_opaque(operation):
            return None
        effect = _effect(operation, located.tensor, inputs.tensor, output.shape[-1])
        if effect is None and _keeps_vectors(operation, located.tensor, inputs.tensor):
            own = _is_own_head(operation, inputs.tensor)
            doubtful.append(operation)
            if own:
                return _with_tail(model, operation, inputs, logits, passed, doubtful)
            effect = "affine"
        if effect is None or effect == "softmax" and {"softmax", "pooling", "affine"} & set(passed):
            raise InvalidInputError(_refusal(operation))
        passed.append(effect)
        if is_head(operation):
            if doubtful:
                return _with_tail(model, operation, inputs, logits, passed, doubtful)
            # A convolution's map that is flattened has more logits than the layer has weights for.
            width = output_width(operation)
            count = width if "pooling" in passed else _size(located.tensor)
            if not count == width == output.shape[-1]:
                raise InvalidInputError(_refusal(operation))
            plain = _is_plain(operation, inputs, output, passed)
            return FoundHead(operation, inputs, plain, "softmax" in passed)
        if effect == "softmax":
            logits = inputs
        located = inputs
    raise InvalidInputError(f"Expected a layer with weights. Received: model={model.name!r}")


def check_single(model):
    """Raises ValueError unless a graph model has one input and one output."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InvalidInputError(
            f"Expected one input and one output. Received: {len(model.inputs)} inputs and "
            f"{len(model.outputs)} outputs of model={model.name!r}"
        )


def output_operation(model):
    """The layer or operation that a graph model ends in, which must not be a softmax or the like.

    Args:
        model: keras.Model with one input and one output.

    Raises:
        ValueError: the model is no graph, has more inputs or outputs, or returns no logits.
    """
    if not has_graph(model):
        raise InvalidInputError(
            "Expected a built Functional or Sequential model, whose layers can be reached. "
            f"Received: model={model.name!r} of class {type(model).__name__}"
        )
    check_single(model)
    operation = resolve(model, TensorInGraph((), model.outputs[0])).call.operation
    activation = getattr(operation, "activation", None)
    if type(operation).__name__ in _SOFTMAXES:
        activation = keras.activations.softmax
    if not is_linear(activation):
        raise InvalidInputError(
            "Expected a model that returns logits (a last Dense layer without activation). "
            f"Received: activation={_name(activation)!r} in layer {operation.name!r}"
        )
    return operation


def _effect(operation, output, given, count):
    """Effect of an operation on the logits on their way out; None: it hides them."""
    kind, activation = type(operation).__name__, getattr(operation, "activation", None)
    if is_head(operation) or isinstance(operation, layers.Activation):
        if is_sigmoid(activation):
            return _sigmoid(operation, count)
        if is_softmax(activation):
            return "softmax" if count > 1 else None
        return "same" if is_linear(activation) else None
    if not type(operation).__module__.startswith("keras."):
        return None
    if kind == "Sigmoid":
        return _sigmoid(operation, count)
    if kind in _SOFTMAXES:
        last = (-1, len(output.shape) - 1)
        return "softmax" if operation.axis in last and count > 1 else None
    if kind in _POOLINGS:
        return "pooling"
    if kind in _RESHAPES:
        return "same" if _size(output) == _size(given) == count else None
    if kind == "Cast":
        return "same" if keras.backend.is_float_dtype(output.dtype) else None
    return "same" if kind in _IDENTITIES else None


def _sigmoid(operation, count):
    """As a softmax over (0, z), of a binary classifier."""
    if count > 1:
        raise InvalidInputError(MULTI_LABEL.format(count=count, name=operation.name))
    return "softmax"


def _keeps_vectors(operation, output, given):
    """True for vectors in and out, at least two, of something that may be affine."""
    shapes = output.shape, given.shape
    return (
        all(len(shape) == 2 and None not in shape[1:] for shape in shapes)
        and output.shape[-1] > 1
        and (output.shape[-1] == given.shape[-1] or _is_own_head(operation, given))
        and not isinstance(operation, layers.Dense | layers.Softmax | layers.Activation)
    )


def _is_own_head(operation, given):
    """True for a layer from outside of Keras with a matrix as wide as its input."""
    is_own = isinstance(operation, layers.Layer) and not type(operation).__module__.startswith(
        "keras."
    )
    return is_own and any(
        len(weight.shape) == 2 and given.shape[-1] in weight.shape for weight in operation.weights
    )


def _with_tail(model, layer, inputs, logits, passed, doubtful):
    """The FoundHead of logits that more than a Dense makes of vectors.

    Raises:
        ValueError: they depend on more than these vectors, or are not affine in them, nor in their
            directions.
    """
    if len(inputs.tensor.shape) != 2 or "pooling" in passed:
        raise InvalidInputError(_refusal(doubtful[0]))
    ends = tensors_at(model, [inputs, logits])
    try:
        function = keras.Model(*ends)
        function(keras.ops.zeros((1, inputs.tensor.shape[-1])), training=False)
    except (ValueError, KeyError) as error:  # not connected; Keras 3.12 sees it in the call
        message = f"{_refusal(doubtful[0])}, at or before which several branches meet"
        raise InvalidInputError(message) from error
    for of_directions in (False, True):
        weights = affine_weights(
            lambda vectors: function(vectors, training=False),
            inputs.tensor.shape[-1],
            of_directions,
        )
        if weights is not None:
            tail = Tail(logits, of_directions, weights)
            return FoundHead(layer, inputs, False, "softmax" in passed, tail)
    raise InvalidInputError(_refusal(doubtful[0]))


def _size(tensor):
    """Number of values of one image in a tensor; 0 where that depends on the image."""
    return math.prod(size or 0 for size in tensor.shape[1:])


def _is_plain(head, inputs, output, passed):
    dtypes = {inputs.tensor.dtype, output.dtype, getattr(head, "compute_dtype", None)}
    as_it_is = dtypes == {"float32"} and set(passed) == {"same"} and num_units(head) > 1
    return as_it_is and len(inputs.tensor.shape) == 2


def _is_opaque(operation):
    """True for a layer that calls layers of its own in a way that no graph shows."""
    if not isinstance(operation, layers.Layer) or is_head(operation):
        return False
    return bool(sublayers(operation))


def _refusal(operation):
    quantised = getattr(operation, "quantization_mode", None)
    if quantised is not None:
        return QUANTISED.format(operation.name, quantised)
    activation = getattr(operation, "activation", None)
    received = f"{operation.name!r} of class {type(operation).__name__}"
    if not is_linear(activation):
        received += f" with activation={_name(activation)!r}"
    return (
        "Expected a model whose logits come from a Dense layer, or a 1x1 convolution of one pixel, "
        "with at most one softmax, dropout, reshaping and what is affine after it. Received: "
        + received
    )


def _name(activation):
    return getattr(activation, "__name__", activation)
