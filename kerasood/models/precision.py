"""Scores must not depend on the device that answers: deployed networks compute in float32."""

import keras


def in_float32(network):
    """`network` itself if all its layers compute in float32, else a rebuilt copy that does.

    Args:
        network: keras.Model built as a graph.

    Returns:
        keras.Model with the same weights.
    """
    if all(layer.compute_dtype == "float32" for layer in network._flatten_layers()):
        return network
    copied = keras.models.clone_model(network)
    copied.set_weights(network.get_weights())
    for layer in copied._flatten_layers():
        layer.dtype_policy = "float32"
    return copied
