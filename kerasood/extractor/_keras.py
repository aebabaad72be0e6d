"""All that this package uses of Keras beyond its public interface.

Seen to work with Keras 3.12 to 3.15. A later one that moves these names fails here, in the tests of
the extractors, and nowhere else.
"""

import collections
import inspect

import keras


def has_graph(model):
    """True where the layers of `model` are connected in a graph that shows all it computes."""
    functional = keras.src.models.functional.Functional
    if isinstance(model, functional):
        return type(model).call is functional.call
    if not isinstance(model, keras.Sequential):
        return False
    # A Sequential model has no inputs before it is built.
    return type(model).call is keras.Sequential.call and hasattr(model, "inputs")


def is_plain(model):
    """True for a graph model whose graph, rather than a configuration of its own, tells it all."""
    return isinstance(model, keras.Sequential) or keras.src.utils.is_default(model.get_config)


def own_graph(model):
    """The Functional inside a Sequential model, whose inputs are nested as they were given."""
    return getattr(model, "_functional", model)


def sublayers(layer):
    """All layers below a model or layer, in an order that follows from its class: a list."""
    return list(layer._flatten_layers(include_self=False))


def all_layers(layer):
    """The layer itself and all below it: a list."""
    return list(layer._flatten_layers())


def producer(tensor):
    """The call that computes a symbolic tensor, and the position of the tensor in its outputs.

    Returns:
        (node, int): node.operation was called on node.input_tensors and gave node.outputs.
    """
    operation, call, output = tensor._keras_history
    return operation._inbound_nodes[call], output


def calls_before(model, outputs):
    """The nodes that `outputs` of a graph model need, in order of computation: a list."""
    # With a name of its own, since a default one would change those of later models.
    by_depth = keras.Model(model.inputs, outputs, name="nodes")._nodes_by_depth
    nodes = (node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth])
    return [node for node in nodes if not node.is_input]


def counts_and_readers(model):
    """Number of calls of each operation of a graph model, and the readers of its outputs.

    Returns:
        ({operation's name: int}, {operation's name: names of the operations that read what it
        gives, None where the model gives it back}).
    """
    calls = calls_before(model, model.outputs)
    counts = collections.Counter(node.operation.name for node in calls)
    producers = {id(tensor): node.operation.name for node in calls for tensor in node.outputs}
    reading = [(id(t), node.operation.name) for node in calls for t in node.input_tensors]
    readers = {name: [] for name in counts}
    for tensor, reader in reading + [(id(t), None) for t in model.outputs]:
        if tensor in producers:
            readers[producers[tensor]].append(reader)
    return counts, readers


def arguments_with(node, tensors):
    """Positional and named arguments of a call, with other tensors in the place of its own.

    Args:
        node: as `producer` gives it.
        tensors: {id of a tensor of the node: the tensor to take}.
    """
    return node.arguments.fill_in(tensors)


def traced_spec(model, images):
    """Traces the `call` of a model for its return, even where it states its shapes."""
    return keras.Operation.compute_output_spec(model, images)


def draws_at_inference(node):
    """True for a call of a single layer that answers otherwise the second time."""
    layer = node.operation
    if not getattr(layer, "_seed_generators", None) or len(node.input_tensors) != 1:
        return False
    if sublayers(layer):
        return False
    training = node.arguments.kwargs.get("training", False)
    default = inspect.signature(layer.call).parameters.get("training")
    if default is not None and default.default is True:
        # As layers that augment images: calls that say nothing of it look alike, and it is off
        # in `predict`.
        training = False
    # Pixels of either range, each its own value, since a flip moves them. It may also do nothing:
    # hence five answers.
    shape = [size or 8 for size in node.input_tensors[0].shape]
    pixels = keras.ops.exp(keras.random.uniform(shape, -4, 5.5, seed=0))
    first = layer(pixels, training=training)
    return any(bool(keras.ops.any(layer(pixels, training=training) != first)) for _ in range(4))
