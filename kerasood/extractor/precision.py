"""Scores must not depend on the device that answers: deployed networks compute in float32."""

import warnings

import keras
import numpy as np

from kerasood.extractor._keras import all_layers, has_graph, is_plain
from kerasood.extractor.own_code import has_own_code, sample_answers

# Policies of less, or of other floats, than float32.
TYPES = ("dtype", "name")  # of a layer's configuration, and of a policy's in it
LOWER = ("float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16")


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
    # In its own types first, where its configuration may not tell all.
    is_told = not has_own_code(network) or rebuilt(network) is not None
    copied = _rebuilt(network, "float32") if is_told else None
    if copied is None:
        return network
    for layer in filter(_computes_otherwise, all_layers(copied)):
        if keras.backend.is_float_dtype(layer.variable_dtype) and layer.variable_dtype != "float32":
            return network
        layer.dtype_policy = "float32"
    return copied


def _computes_otherwise(layer):
    dtype = layer.compute_dtype
    return dtype != "float32" and keras.backend.is_float_dtype(dtype)


def rebuilt(network):
    """A copy of a model with weights of its own; None where its configuration does not tell it.

    A copy that holds code from outside Keras must answer as the original does.
    """
    copied = _rebuilt(network)
    try:
        if copied is None or not has_own_code(network):
            return copied
        pairs = zip(sample_answers(network), sample_answers(copied), strict=True)
        alike = [
            np.allclose(new, old, rtol=0.01, atol=1e-3 * np.max(np.abs(old)), equal_nan=True)
            for old, new in pairs
        ]
    except Exception:  # others' code may raise anything
        return None
    return copied if all(alike) else None


def _rebuilt(network, dtype=None):
    """A copy with the types of the network's own policy, or of another one; None without."""
    before = keras.config.dtype_policy()
    # Layers that a subclass makes in its __init__ follow the policy of the day.
    keras.config.set_dtype_policy(dtype or network.dtype_policy)
    try:
        copied = _from_configuration(network, dtype)
        copied.set_weights(network.get_weights())
    except Exception:  # others' code may raise anything
        return None
    finally:
        keras.config.set_dtype_policy(before)
    return copied


def _from_configuration(network, dtype):
    if has_graph(network) and (dtype is None or is_plain(network)):
        return keras.models.clone_model(
            network,
            clone_function=dtype and (
                lambda layer: type(layer).from_config(_retyped(layer.get_config(), dtype))
            ),
            recursive=dtype is not None,
        )
    copied = type(network).from_config(_retyped(network.get_config(), dtype))
    if not has_graph(network):
        with warnings.catch_warnings():
            # That it could not be built shows in the weights that it lacks.
            warnings.simplefilter("ignore")
            copied.build_from_config(network.get_build_config())
        # As Keras does on loading.
        copied.built = network.built
    return copied


def _retyped(config, dtype):
    """A configuration whose float policies are `dtype`; the same for None."""
    if dtype is None:
        return config
    if isinstance(config, dict):
        return {
            key: dtype if key in TYPES and str(value) in LOWER else _retyped(value, dtype)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_retyped(value, dtype) for value in config)
    return config
