"""Networks as .keras files: configuration and weights, never pickled code."""

import os
import zipfile

import keras

from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import has_graph
from kerasood.extractor.precision import in_float32
from kerasood.files import atomic_path
from kerasood.networks.wide_resnet import WideResNet


def save_network(network, path):
    """Writes a network as a .keras file that computes in float32, whatever it was trained in.

    A subclassed network without a graph cannot be rebuilt and keeps the types it was made with.

    Args:
        network: keras.Model.
        path: str or Path that ends in `.keras`.
    """
    if isinstance(network, WideResNet):
        network = network.with_dtype("float32")
    elif has_graph(network):
        network = in_float32(network)
    with atomic_path(path) as temporary:
        network.save(temporary)


def load_network(path):
    """Reads a .keras file in safe mode.

    Args:
        path: str or Path.

    Returns:
        keras.Model, not compiled.

    Raises:
        ValueError: the file is no .keras model, or holds code or classes that are not known here.
    """
    # Keras would say that it found no file, or read .h5.
    if os.path.isfile(path) and not zipfile.is_zipfile(path):
        raise InvalidInputError(
            f"Expected a .keras model in {path}. Received: a file that is no zip archive; it may "
            "be truncated or of another format"
        )
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise InvalidInputError(
            f"Expected a .keras model in {path}. Received: {_reason(error)}"
        ) from error


def _reason(error):
    """Message of Keras without the configuration that it quotes, which can be pages long."""
    _, _, cause = str(error).rpartition("Exception encountered:")
    return " ".join(cause.partition("Full object config")[0].split())
