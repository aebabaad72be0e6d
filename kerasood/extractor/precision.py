"""Scores must not depend on the device that answers: deployed networks compute in float32."""

import warnings

import keras

from kerasood.extractor._keras import all_layers, has_graph


def computes_in_float32(network):
    """True where no layer of a model computes in floats of another type."""
    return not any(map(_computes_otherwise, all_layers(network)))


def in_float32(network):
    """`network` itself if all its layers compute in float32, else a rebuilt copy that does.

    Args:
        network: keras.Model; one that cannot be rebuilt from its configuration, as a subclass
            without `get_config` cannot, stays as it is.

    Returns:
        keras.Model with the same weights.
    """
    if computes_in_float32(network):
        return network
    copied = rebuilt(network)
    if copied is None:
        return network
    for layer in filter(_computes_otherwise, all_layers(copied)):
        layer.dtype_policy = "float32"
    return copied


def _computes_otherwise(layer):
    dtype = layer.compute_dtype
    return dtype != "float32" and keras.backend.is_float_dtype(dtype)


def rebuilt(network):
    """A copy of a model with weights of its own; None where its configuration does not tell it."""
    try:
        if has_graph(network):
            copied = keras.models.clone_model(network)
        else:
            copied = type(network).from_config(network.get_config())
            with warnings.catch_warnings():
                # That it could not be built shows in the weights that it lacks.
                warnings.simplefilter("ignore")
                copied.build_from_config(network.get_build_config())
            # As Keras does on loading.
            copied.built = network.built
        copied.set_weights(network.get_weights())
    except (NotImplementedError, TypeError, ValueError):
        return None
    return copied
