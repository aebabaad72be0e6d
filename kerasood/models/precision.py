"""Scores must not depend on the device that answers: deployed networks compute in float32."""

import keras

from kerasood.models.graph import has_graph


def in_float32(network):
    """`network` itself if all its layers compute in float32, else a rebuilt copy that does.

    Args:
        network: keras.Model; one that is built as a graph is rebuilt, another stays as it is.

    Returns:
        keras.Model with the same weights.
    """
    computes = {layer.compute_dtype for layer in network._flatten_layers()}
    if computes == {"float32"} or not has_graph(network):
        return network
    copied = keras.models.clone_model(network)
    copied.set_weights(network.get_weights())
    for layer in copied._flatten_layers():
        layer.dtype_policy = "float32"
    return copied
