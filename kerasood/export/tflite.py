"""TFLite: what phones and small boards run."""

import pathlib
import re
import tempfile
import warnings

import numpy as np
import tensorflow as tf

from kerasood.export.metadata import build_metadata, write_metadata
from kerasood.export.saved_model import SIGNATURE, write_archive
from kerasood.quiet import quiet
from kerasood.serving import check_images


def export_tflite(ood_model, path, metadata):
    """Writes a TFLite file of builtin ops only, for any batch size.

    It is converted from the bare model, not from the SavedModel of `export_saved_model`, whose
    guard against empty batches would keep the runtime from planning its memory ahead.

    Args:
        ood_model: OODModel.
        path: str or Path of the .tflite file.
        metadata: dict of JSON values, written to kerasood.json beside it with the model's facts.

    Returns:
        Path of the file.

    Raises:
        ValueError: the graph holds ops that TFLite's builtin ones cannot express, Keras runs on
            another backend, or `metadata` overrides the model's facts.
        OSError: the file cannot be written.
    """
    path = pathlib.Path(path)
    content = build_metadata(ood_model, metadata)
    with tempfile.TemporaryDirectory() as folder:
        write_archive(ood_model.__call__, ood_model.image_shape, folder)
        flatbuffer = _convert(folder)
    path.write_bytes(flatbuffer)
    write_metadata(path, content)
    return path


def _convert(folder):
    with quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            return converter.convert()
        # The converter's own error class is private.
        except Exception as error:
            raise ValueError(
                "Expected a model that TFLite's builtin ops can express. "
                f"Received: {_unsupported_ops(error)}"
            ) from error


def _unsupported_ops(error):
    names = sorted(set(re.findall(r"'(\S+)' op is neither a custom op nor", str(error))))
    return f"ops {', '.join(names)}" if names else str(error)[:500]


def run_tflite(path, images):
    """Answers for images with the LiteRT runtime if it is installed, else with tf.lite's.

    The runtime itself would take images of another size without a word, and answer.

    Args:
        path: str or Path of a .tflite file.
        images: uint8 array (N, H, W, 3), pixels 0-255; N may be 0.

    Returns:
        dict of NumPy arrays, one per output of the signature.

    Raises:
        ValueError: the images do not match the signature.
    """
    with quiet():
        runner = open_tflite(path).get_signature_runner(SIGNATURE)
        image_shape = runner.get_input_details()["images"]["shape_signature"][1:]
        images = check_images(images, [size if size >= 0 else None for size in image_shape])
        if len(images):
            return runner(images=images)
        # The runtime fails on an empty batch.
        details = runner.get_output_details().items()
    return {
        name: np.zeros((0, *output["shape_signature"][1:]), output["dtype"])
        for name, output in details
    }


def open_tflite(path):
    """Opens a .tflite file in LiteRT's interpreter, or in tf.lite's where that is missing."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        Interpreter = tf.lite.Interpreter
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        return Interpreter(model_path=str(path))
