"""SavedModel: what TF Serving loads."""

import pathlib

import keras
import tensorflow as tf

from kerasood.export.metadata import build_metadata, write_metadata
from kerasood.quiet import quiet
from kerasood.serving import check_images

SIGNATURE = "serving_default"


def export_saved_model(ood_model, folder, metadata):
    """Writes a SavedModel with one signature, uint8 images to named outputs, for any batch size.

    Args:
        ood_model: OODModel.
        folder: str or Path of a folder that does not exist yet.
        metadata: dict of JSON values, written to assets.extra/kerasood.json with the model's facts.

    Returns:
        Path of the folder.

    Raises:
        ValueError: Keras runs on another backend, or `metadata` overrides the model's facts.
        OSError: the folder cannot be written.
    """
    content = build_metadata(ood_model, metadata)
    write_archive(_answer_any_number(ood_model), ood_model.image_shape, folder)
    write_metadata(folder, content)
    return pathlib.Path(folder)


def write_archive(serve, image_shape, folder):
    """Writes a function of uint8 images as the one signature of a SavedModel."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Expected the TensorFlow backend: set KERAS_BACKEND=tensorflow to export. "
            f"Received: backend={keras.backend.backend()!r}"
        )
    images = tf.TensorSpec((None, *image_shape), tf.uint8, name="images")
    # A tf.Module fails in TF Serving's loader, and archive.track() stores each weight twice.
    archive = keras.export.ExportArchive()
    archive.add_endpoint(SIGNATURE, serve, input_signature=[images])
    try:
        with quiet():
            archive.write_out(str(folder), verbose=False)
    except tf.errors.OpError as error:
        raise OSError(f"Cannot write the SavedModel {folder}: {error.message}") from error


def _answer_any_number(ood_model):
    """The model on any number of images, none included.

    oneDNN's Conv2D gives an empty batch the shape of its input, and the next layer fails: so the
    model never sees one.
    """

    def serve(images):
        num_images = tf.shape(images)[0]
        missing = tf.maximum(1 - num_images, 0)
        outputs = ood_model(tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]]))
        return {name: output[:num_images] for name, output in outputs.items()}

    return serve


def run_saved_model(folder, images):
    """Answers for images as TF Serving would: session, tag and signature, no Python object.

    Args:
        folder: str or Path of a SavedModel.
        images: uint8 array (N, H, W, 3), pixels 0-255; N may be 0.

    Returns:
        dict of NumPy arrays, one per output of the signature.

    Raises:
        ValueError: the images do not match the signature.
    """
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        with quiet():
            graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(folder))
        signature = graph.signature_def[SIGNATURE]
        spec = signature.inputs["images"]
        image_shape = [size.size if size.size >= 0 else None for size in spec.tensor_shape.dim[1:]]
        images = check_images(images, image_shape)
        fetches = {name: output.name for name, output in signature.outputs.items()}
        return session.run(fetches, {spec.name: images})
