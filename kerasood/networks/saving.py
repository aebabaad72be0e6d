"""Networks as .keras (or read: .h5) files: configuration and weights, never pickled code."""

import json
import pathlib
import zipfile

import h5py
import keras

from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import has_graph
from kerasood.extractor.precision import in_float32
from kerasood.files import atomic_path
from kerasood.networks.wide_resnet import WideResNet

HDF5_SUFFIXES = (".h5", ".hdf5")
SUFFIXES = (".keras", *HDF5_SUFFIXES)
OF_KERAS_2 = (
    "a file of Keras 2 with parts that Keras 3 does not read ({reason}). Build the model by its "
    "own code in Keras 3, read the weights by model.load_weights(), which takes .h5 files of both, "
    "and save it as .keras"
)


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
    """Reads a .keras file, or an .h5 file of Keras 2 or 3, in safe mode.

    Args:
        path: str or Path.

    Returns:
        keras.Model, not compiled.

    Raises:
        ValueError: the file is no Keras model, or holds code or classes that are not known here, as
            files of Keras 2 may.
    """
    path = pathlib.Path(path)
    is_hdf5 = path.suffix in HDF5_SUFFIXES
    if (path / "saved_model.pb").is_file():
        raise InvalidInputError(
            f"Expected a .keras or .h5 model. Received: {path}, a SavedModel, whose layers cannot "
            "be reached; save the model itself by model.save('model.keras')"
        )
    # Keras would say that it found no file.
    if path.is_file() and not (h5py.is_hdf5 if is_hdf5 else zipfile.is_zipfile)(path):
        raise InvalidInputError(
            f"Expected a .keras or .h5 model in {path}. Received: a file that is no "
            f"{'HDF5 file' if is_hdf5 else 'zip archive'}; it may be truncated or of another format"
        )
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        reason = _reason(error)
        if _is_of_keras_2(path, is_hdf5):
            reason = OF_KERAS_2.format(reason=reason)
        raise InvalidInputError(
            f"Expected a .keras or .h5 model in {path}. Received: {reason}"
        ) from error


def _is_of_keras_2(path, is_hdf5):
    try:
        if is_hdf5:
            with h5py.File(path, "r") as file:
                return str(file.attrs["keras_version"]).startswith("2")
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("metadata.json"))["keras_version"].startswith("2")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False


def _reason(error):
    """Message of Keras without the configuration that it quotes, which can be pages long."""
    _, _, cause = str(error).rpartition("Exception encountered:")
    for quoted in ("Full object config", " using config="):
        cause = cause.partition(quoted)[0]
    return " ".join(cause.split())
