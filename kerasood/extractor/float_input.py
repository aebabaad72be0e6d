"""A model on float pixels, so that it can be differentiated with respect to them."""

import keras

from kerasood.errors import InvalidInputError
from kerasood.extractor.capturing_extractor import CapturingExtractor, layers_of
from kerasood.extractor.graph import Place, all_calls, has_graph, is_float, tensors_at


def with_float_input(extractor):
    """The same function on float pixels 0-255, to be differentiated with respect to them.

    A graph casts what it gets to the dtype of its input, and a cast to uint8 has no gradient.

    Args:
        extractor: keras.Model, as `build_extractor` returns it or any other graph.

    Returns:
        keras.Model on float32 pixels with the same layers, not copies; `extractor` itself where
        floats go all the way.

    Raises:
        ValueError: the layers are called in a way that no graph shows and cast to integers.
    """
    if isinstance(extractor, CapturingExtractor):
        return _capturing_with_float_input(extractor)
    if not has_graph(extractor):
        raise InvalidInputError(f"Expected an extractor. Received: {type(extractor).__name__}")
    images = extractor.inputs[0]
    if not is_float(images) or _casts(extractor):
        pixels = keras.Input(batch_shape=images.shape, dtype="float32", name=images.name)
        places = [Place((), tensor) for tensor in extractor.outputs]
        tensors = tensors_at(extractor, places, [pixels])
        structure = getattr(extractor, "_functional", extractor).output
        outputs = keras.tree.pack_sequence_as(structure, tensors)
        extractor = keras.Model(pixels, outputs, name=extractor.name)
    _check_floats(extractor)
    return extractor


def _capturing_with_float_input(extractor):
    network = extractor.network
    if extractor.plan["dtype"] != "float32":
        raise InvalidInputError(
            f"Expected a model of float pixels. Received: model={network.name!r}"
        )
    if not has_graph(network):
        _check_floats(network)
        return extractor
    on_floats = with_float_input(network)
    return extractor if on_floats is network else extractor.with_network(on_floats)


def _check_floats(model):
    graphs = [layer for layer in layers_of(model) if has_graph(layer)]
    casting = [graph.name for graph in graphs if not all(map(is_float, graph.inputs))]
    if casting:
        raise InvalidInputError(
            "Expected layers that take float pixels. Received: layers that cast to integers and "
            f"that no graph reaches: {', '.join(casting)} in model={model.name!r}"
        )


def _casts(model):
    """Whether a nested model casts floats to integers."""
    return any(
        is_float(given) and not is_float(own)
        for _, place in all_calls(model)
        if has_graph(place.call.operation)
        for given, own in zip(place.call.input_tensors, place.call.operation.inputs, strict=False)
    )
