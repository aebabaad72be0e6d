"""Describes in words the inputs and outputs of an exported file."""

import pathlib

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from kerasood.export.formats.tflite import open_tflite
from kerasood.export.graph.endpoints import SIGNATURE
from kerasood.quiet import quiet

INITIALISER = "__saved_model_init_op"


def describe_signature(path):
    """Lists the inputs and outputs of an exported file with their dtypes and shapes.

    Args:
        path: str or Path of a SavedModel folder or a .tflite file.

    Returns:
        str of several lines for each signature, the default one first, N standing for any batch
        size.
    """
    if pathlib.Path(path).suffix == ".tflite":
        signatures = {SIGNATURE: _tflite_tensors(path)}
    else:
        signatures = _saved_model_tensors(path)
    lines = []
    for name, (inputs, outputs) in signatures.items():
        lines += [f"signature {name}", "  input", *_lines(inputs), "  outputs", *_lines(outputs)]
    return "\n".join(lines)


def _saved_model_tensors(folder):
    content = saved_model_pb2.SavedModel()
    content.ParseFromString((pathlib.Path(folder) / "saved_model.pb").read_bytes())
    signatures = content.meta_graphs[0].signature_def
    names = sorted(set(signatures) - {INITIALISER}, key=lambda name: (name != SIGNATURE, name))
    return {
        name: (_tensors(signatures[name].inputs), _tensors(signatures[name].outputs))
        for name in names
    }


def _tensors(infos):
    return {
        name: (tf.dtypes.as_dtype(info.dtype).name, [dim.size for dim in info.tensor_shape.dim])
        for name, info in infos.items()
    }


def _tflite_tensors(path):
    with quiet():
        runner = open_tflite(path).get_signature_runner(SIGNATURE)
    return tuple(
        {
            name: (np.dtype(info["dtype"]).name, info["shape_signature"].tolist())
            for name, info in infos.items()
        }
        for infos in (runner.get_input_details(), runner.get_output_details())
    )


def _lines(tensors):
    return [
        f"    {name:<14}{dtype:<8} {_shape(sizes)}"
        for name, (dtype, sizes) in sorted(tensors.items())
    ]


def _shape(sizes):
    names = ["N", *(str(size) if size >= 0 else "any" for size in sizes[1:])]
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"
