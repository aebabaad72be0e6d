"""Reading and rewiring the graph of a Functional or Sequential model, nested models included."""

import typing

import keras

from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import arguments_with, calls_before, has_graph, own_graph, producer


class TensorInGraph(typing.NamedTuple):
    """A tensor inside a model: calls of nested models from the outside in, then the tensor."""

    calls: tuple
    tensor: keras.KerasTensor

    @property
    def call(self):
        """The node that computes the tensor: one call of a layer or an operation."""
        return producer(self.tensor)[0]


def resolve(model, located):
    """The same values where a layer that is no nested model, or the input of `model`, gives them.

    Args:
        model: keras.Model with a graph.
        located: TensorInGraph in it.

    Returns:
        TensorInGraph.
    """
    while True:
        owner = located.calls[-1].operation if located.calls else model
        position = _position(located.tensor, owner.inputs)
        if position is None:
            call, index = producer(located.tensor)
            if not has_graph(call.operation):
                return located
            located = TensorInGraph((*located.calls, call), call.operation.outputs[index])
        elif located.calls:
            located = TensorInGraph(located.calls[:-1], located.calls[-1].input_tensors[position])
        else:
            return located


def is_input(model, located):
    """True for a located tensor that is an input of the model."""
    return not located.calls and _position(located.tensor, model.inputs) is not None


def all_calls(model):
    """Every call in the graph, nested models before what is inside them, in order of computation.

    Args:
        model: keras.Model with a graph.

    Yields:
        (name, TensorInGraph): the layer's name, "outer/inner" in a nested model, and its first
            output.
    """
    for node in calls_before(model, model.outputs):
        operation = node.operation
        yield operation.name, TensorInGraph((), node.outputs[0])
        if has_graph(operation):
            for name, located in all_calls(operation):
                calls = (node, *located.calls)
                yield f"{operation.name}/{name}", TensorInGraph(calls, located.tensor)


def find_layer(model, name):
    """The output of a layer, also inside nested models.

    Args:
        model: keras.Model with a graph.
        name: str, "layer", or "outer/inner" in a nested model; the last part alone will do where
            only one layer has it.

    Returns:
        TensorInGraph.

    Raises:
        ValueError: no layer has that name, or the graph calls it more than once.
    """
    calls = list(all_calls(model))
    found = [located for full_name, located in calls if full_name == name]
    found = found or [located for full_name, located in calls if full_name.endswith(f"/{name}")]
    if len(found) != 1:
        names = ", ".join(full_name for full_name, _ in calls)
        raise InvalidInputError(
            "Expected the name of a layer that the model calls once (one of "
            f"{names}). Received: {name!r}, which it calls {len(found)} times"
        )
    return found[0]


def tensors_at(model, all_located, inputs=None):
    """Tensors of one graph that the model computes, wherever they lie.

    Layers are shared. Where one lies in a nested model, that model is replaced in all its calls
    by one of the same layers that has more outputs, and what follows it is called again.

    Args:
        model: keras.Model with a graph.
        all_located: list of TensorInGraph.
        inputs: list of KerasTensors to compute from instead of the model's own inputs.

    Returns:
        list of KerasTensors, one per located.
    """
    inputs = inputs or model.inputs
    pairs = zip(model.inputs, inputs, strict=True)
    changed = {id(old): new for old, new in pairs if old is not new}
    nested = {}
    for located in all_located:
        if located.calls:
            inner = TensorInGraph(located.calls[1:], located.tensor)
            nested.setdefault(located.calls[0].operation, []).append(inner)
    inside, replaced = {}, {}
    for node in calls_before(model, [_outermost(located) for located in all_located]):
        wanted = nested.get(node.operation, [])
        if not wanted and not any(id(tensor) in changed for tensor in node.input_tensors):
            continue
        outputs = _call_again(node, changed, wanted, replaced)
        pairs = zip(node.outputs, outputs, strict=False)
        changed.update((id(old), new) for old, new in pairs)
        for located, tensor in zip(wanted, outputs[len(node.outputs) :], strict=True):
            inside[node, located.calls, id(located.tensor)] = tensor
    return [
        inside[located.calls[0], located.calls[1:], id(located.tensor)]
        if located.calls
        else changed.get(id(located.tensor), located.tensor)
        for located in all_located
    ]


def is_float(tensor):
    """True for a symbolic tensor of floats."""
    return keras.backend.is_float_dtype(tensor.dtype)


def _call_again(node, changed, wanted, replaced):
    """Outputs of a node on changed inputs, then those of the wanted tensors inside it.

    A nested model is replaced once, at its first call: a graph has one model of each name.
    """
    tensors = {id(tensor): changed.get(id(tensor), tensor) for tensor in node.input_tensors}
    args, kwargs = arguments_with(node, tensors)
    operation = node.operation
    if has_graph(operation) and operation not in replaced:
        inputs = [
            _input_for(tensors[id(given)], own)
            for given, own in zip(node.input_tensors, operation.inputs, strict=False)
        ]
        same = all(new is own for new, own in zip(inputs, operation.inputs, strict=True))
        found = operation if same and not wanted else _with_outputs(operation, inputs, wanted)
        replaced[operation] = found
    return keras.tree.flatten(replaced.get(operation, operation)(*args, **kwargs))


def _with_outputs(model, inputs, all_located):
    """The same layers with more outputs, maybe on other inputs, as one flat list."""
    own = [TensorInGraph((), tensor) for tensor in model.outputs]
    structure = keras.tree.pack_sequence_as(own_graph(model).input, inputs)
    return keras.Model(structure, tensors_at(model, own + all_located, inputs), name=model.name)


def _input_for(given, own):
    """The input of a nested model, or a float one where it would cast floats to integers."""
    if not is_float(given) or is_float(own):
        return own
    return keras.Input(batch_shape=own.shape, dtype=given.dtype, name=own.name)


def _outermost(located):
    return located.calls[0].outputs[0] if located.calls else located.tensor


def _position(tensor, tensors):
    for position, other in enumerate(tensors):
        if other is tensor:
            return position
    return None
