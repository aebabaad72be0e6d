"""Any Keras graph model as a map from images to features and logits."""

import keras


def build_extractor(model, feature_layer=None):
    """Returns a model that gives features and logits in one forward pass.

    It shares the layers and weights of `model`, which stays as it is.

    Args:
        model: keras.Model with one input and one (N, K) output of logits, built as a graph
            (Functional, Sequential or a subclass of them) that ends in a Dense layer.
        feature_layer: str, name of the layer whose output is the features; by default the input
            of the last layer.

    Returns:
        keras.Model: images -> {"features": (N, D), "logits": (N, K)}.

    Raises:
        ValueError: the model is no graph, does not end in one linear Dense layer, or has no layer
            of that name.
    """
    head_layer(model)
    features = model.get_layer(feature_layer).output if feature_layer else _input_of_head(model)
    if len(features.shape) != 2:
        raise ValueError(f"Expected features of shape (N, D). Received: shape={features.shape}")
    outputs = {"features": features, "logits": model.outputs[0]}
    return keras.Model(model.inputs[0], outputs, name=f"{model.name}_extractor")


def has_graph(model):
    """Whether the layers of `model` are connected in a graph that can be read."""
    graph_classes = keras.Sequential | keras.src.models.functional.Functional
    # A Sequential model has no inputs before it is built.
    return isinstance(model, graph_classes) and hasattr(model, "inputs")


def head_layer(model):
    """The Dense layer that computes the logits of a graph model."""
    head = output_operation(model)
    if not isinstance(head, keras.layers.Dense):
        raise ValueError(
            f"Expected the last layer to be Dense. Received: {head.name!r} of class "
            f"{type(head).__name__}"
        )
    return head


def output_operation(model):
    """The layer or operation that a graph model ends in, which must not be a softmax or the like.

    Args:
        model: keras.Model with one input and one output.

    Raises:
        ValueError: the model is no graph, has more inputs or outputs, or returns no logits.
    """
    if not has_graph(model):
        raise ValueError(
            "Expected a built Functional or Sequential model, whose layers can be reached. "
            f"Received: model={model.name!r} of class {type(model).__name__}"
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"Expected one input and one output. Received: {len(model.inputs)} inputs and "
            f"{len(model.outputs)} outputs of model={model.name!r}"
        )
    operation = model.outputs[0]._keras_history.operation
    linear = keras.activations.linear
    activation = getattr(operation, "activation", linear)
    if type(operation).__name__ == "Softmax":
        activation = keras.activations.softmax
    if activation is not linear:
        raise ValueError(
            "Expected a model that returns logits (a last Dense layer without activation). "
            f"Received: activation={getattr(activation, '__name__', activation)!r} in layer "
            f"{operation.name!r}"
        )
    return operation


def _input_of_head(model):
    # Not `head.input`, which is that of the layer's first call, maybe in another model.
    head, node, _ = model.outputs[0]._keras_history
    return head._inbound_nodes[node].input_tensors[0]


def with_float_input(extractor):
    pixels = keras.Input(extractor.inputs[0].shape[1:], dtype="float32")
    return keras.models.clone_model(
        extractor, input_tensors=pixels, clone_function=lambda layer: layer
    )


def head_of(extractor):
    head = extractor.outputs[-1]._keras_history.operation
    return head.kernel.numpy(), head.bias.numpy()
