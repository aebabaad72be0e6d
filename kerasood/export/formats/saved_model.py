"""SavedModel: what TF Serving loads."""

import contextlib
import os
import typing

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.tools import saved_model_utils

from kerasood.errors import InvalidInputError, StorageError
from kerasood.export.checks.requests import check_signatures
from kerasood.export.checks.warmup import write_warmup
from kerasood.export.formats.base import Format
from kerasood.export.graph.encoded import MAX_PIXELS
from kerasood.export.graph.endpoints import SIGNATURE, build_endpoints
from kerasood.export.graph.folding import folded_or_same
from kerasood.quiet import quiet
from kerasood.serving import OODModel, check_images

SERVE_TAG = "serve"


class SavedModel(Format):
    """The version folder itself, with the signatures of `build_endpoints`, for any batch size."""

    name = "saved_model"
    marker = "saved_model.pb"
    deploys = "deploy"
    is_optional = False

    def convert(self, ood_model, path, metadata, quantization):
        # The other formats' converters fold batch normalisation themselves.
        network = folded_or_same(ood_model.network)
        folded = OODModel(network, ood_model.detector, ood_model.threshold, ood_model.name)
        max_pixels = metadata.get("max_pixels", MAX_PIXELS)
        write_endpoints(build_endpoints(folded, metadata.get("class_names"), max_pixels), path)

    def run(self, path, images, runtime=None):
        with load_served(path) as served:
            sizes = served.signatures[SIGNATURE].inputs["images"].tensor_shape.dim[1:]
            image_shape = [size.size if size.size >= 0 else None for size in sizes]
            return served.run({"images": check_images(images, image_shape)})

    def signatures(self, path):
        definitions = saved_model_utils.get_meta_graph_def(str(path), SERVE_TAG).signature_def
        names = {name for name, definition in definitions.items() if definition.inputs}
        return {
            name: (_tensors(definitions[name].inputs), _tensors(definitions[name].outputs))
            for name in sorted(names, key=lambda name: (name != SIGNATURE, name))
        }

    def finish(self, path, images, metadata, model_name):
        with load_served(path) as served:
            check_signatures(served, images, metadata.get("class_names"))
            num_requests = write_warmup(served, path, model_name, images.shape[1:])
        if num_requests:
            return f"{num_requests} warm-up requests for TF Serving, each answered"
        return "no warm-up requests for TF Serving: pip install --no-deps tensorflow-serving-api"


def _tensors(infos):
    return {
        name: (tf.dtypes.as_dtype(info.dtype).name, [dim.size for dim in info.tensor_shape.dim])
        for name, info in infos.items()
    }


def write_archive(serve, image_shape, folder):
    """Writes a function of uint8 images as the one signature of a SavedModel."""
    images = tf.TensorSpec((None, *image_shape), tf.uint8, name="images")
    write_endpoints({SIGNATURE: (serve, images)}, folder)


def write_endpoints(endpoints, folder):
    """Writes functions of one tensor each as the signatures of a SavedModel.

    Args:
        endpoints: dict of signature name to (function, tf.TensorSpec).
        folder: str or Path of a folder that does not exist yet.

    Raises:
        OSError: the folder cannot be written.
    """
    # A tf.Module fails in TF Serving's loader, and archive.track() stores each weight twice.
    archive = keras.export.ExportArchive()
    for name, (serve, spec) in endpoints.items():
        archive.add_endpoint(name, serve, input_signature=[spec])
    try:
        with quiet():
            archive.write_out(str(folder), verbose=False)
    except tf.errors.OpError as error:
        raise StorageError(f"Cannot write the SavedModel {folder}: {error.message}") from error


class ServedModel:
    """A SavedModel as TF Serving holds it: session, tag and signatures, no Python object.

    Args:
        session: tf.compat.v1.Session that it is loaded in.
        signatures: map of signature name to SignatureDef.
    """

    def __init__(self, session, signatures):
        self.session = session
        self.signatures = signatures

    def run(self, inputs, signature=SIGNATURE):
        """Answers one request.

        Args:
            inputs: dict of arrays by input name.
            signature: str.

        Returns:
            dict of NumPy arrays, one per output of the signature.

        Raises:
            ValueError: there is no such signature, or the inputs are not exactly its own or do not
                fit their dtype and shape.
            tf.errors.OpError: an op of the graph fails.
        """
        if signature not in self.signatures:
            raise InvalidInputError(
                f"Expected a signature out of {sorted(self.signatures)}. Received: {signature!r}"
            )
        definition = self.signatures[signature]
        if inputs.keys() != definition.inputs.keys():
            raise InvalidInputError(
                f"Expected the inputs {sorted(definition.inputs)} of {signature}. "
                f"Received: {sorted(inputs)}"
            )
        fetches = {name: output.name for name, output in definition.outputs.items()}
        feeds = {}
        for name, values in inputs.items():
            # A session casts in silence, floats in 0..1 to zeros; a server does not.
            expected = tf.dtypes.as_dtype(definition.inputs[name].dtype)
            values = np.asarray(values, None if np.size(values) else expected.as_numpy_dtype)
            if tf.dtypes.as_dtype(values.dtype) != expected:
                raise InvalidInputError(
                    f"Expected {name} as {expected.name}. Received: dtype={values.dtype}"
                )
            feeds[definition.inputs[name].name] = values
        return self.session.run(fetches, feeds)


@contextlib.contextmanager
def load_served(folder: str | os.PathLike) -> typing.Any:
    """Loads a SavedModel through the C++ loader, as TF Serving does.

    Args:
        folder: str or Path of a SavedModel.

    Yields:
        ServedModel.
    """
    session = tf.compat.v1.Session(graph=tf.Graph())
    # Not as the default session: what runs beside it stays eager.
    with contextlib.closing(session):
        with quiet(), session.graph.as_default():
            content = tf.compat.v1.saved_model.loader.load(session, [SERVE_TAG], str(folder))
        yield ServedModel(session, content.signature_def)
