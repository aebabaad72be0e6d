"""Networks with more outputs than logits, from classifiers that have these alone."""

import keras

from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import has_graph
from kerasood.extractor.build import attached_extractor, is_extractor


def with_outputs(network, name, make):
    """The network with further outputs that are computed from its features.

    Args:
        network: keras.Model, a classifier with a graph; or one with several outputs by name.
        name: str, one of the new outputs; a network that has it already is returned as it is.
        make: function of features (N, D) and logits (N, K), Keras tensors ->
            {name: tensor} of new outputs and of those that they replace.

    Returns:
        keras.Model with the layers of `network` and new ones, images ->
        {"features": (N, D), "logits": (N, K), ...}.

    Raises:
        ValueError: a network without a graph, or without logits.
    """
    outputs = _outputs(network)
    if name in outputs:
        return network
    outputs |= make(outputs["features"], outputs["logits"])
    return keras.Model(network.inputs[0], outputs, name=network.name)


def second_head(features, units, name):
    """Logits (N, units) of a linear head beside the classifier's own, float32."""
    return keras.layers.Dense(
        units,
        # As the head of WideResNet.
        kernel_initializer=keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform"),
        dtype="float32",
        name=name,
    )(features)


def _outputs(network):
    extractor = network if is_extractor(network) else attached_extractor(network)
    if not has_graph(extractor):
        raise InvalidInputError(
            "Expected a Functional or Sequential network, to which a head can be added. Received: "
            f"network={network.name!r} of class {type(network).__name__}"
        )
    return dict(extractor.output)
