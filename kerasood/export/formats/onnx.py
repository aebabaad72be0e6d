"""ONNX: what ONNX Runtime and its many hosts run; needs the extra `onnx`."""

import pathlib
import warnings

import keras
import numpy as np
import tensorflow as tf

from kerasood.errors import InvalidInputError
from kerasood.export.errors import Inexpressible
from kerasood.export.metadata import build_metadata, write_metadata
from kerasood.quiet import quiet
from kerasood.serving import check_images

OPSET = 17


def export_onnx(ood_model, path, metadata):
    """Writes an ONNX file with the model's one input and named outputs, for any batch size.

    Args:
        ood_model: OODModel.
        path: str or Path of the .onnx file.
        metadata: dict of JSON values, written to FILE.json beside it with the model's facts.

    Returns:
        Path of the file.

    Raises:
        Inexpressible: the graph holds ops that ONNX cannot express.
        ValueError: Keras runs on another backend, or `metadata` overrides the model's facts.
        ImportError: tf2onnx is not installed.
    """
    path = pathlib.Path(path)
    content = build_metadata(ood_model, metadata)
    if keras.backend.backend() != "tensorflow":
        raise InvalidInputError(
            "Expected the TensorFlow backend: set KERAS_BACKEND=tensorflow to export. "
            f"Received: backend={keras.backend.backend()!r}"
        )
    images = tf.TensorSpec((None, *ood_model.image_shape), tf.uint8, name="images")
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx trails behind NumPy
        import onnx
        import tf2onnx

        try:
            proto, _ = tf2onnx.convert.from_function(
                tf.function(ood_model.__call__),
                [images],
                opset=OPSET,
                custom_op_handlers={"Log1p": (_log1p, [])},
            )
            # Ops that it does not know pass through it without an error.
            onnx.checker.check_model(proto)
        # The converter raises whatever a handler of one op raises, the checker an error of its own.
        except Exception as error:
            raise Inexpressible(
                f"Expected a model that ONNX can express. Received: {str(error)[:500]}"
            ) from error
    path.write_bytes(proto.SerializeToString())
    write_metadata(path, content)
    return path


def _log1p(graph, node, name, _):
    """log(1 + x), which tf2onnx lacks; its own signature of a handler."""
    one = graph.make_const(f"{name}_one", np.ones((), "float32"))
    sum_ = graph.make_node("Add", [node.input[0], one.output[0]])
    node.type = "Log"
    graph.replace_input(node, node.input[0], sum_.output[0], 0)


def run_onnx(path, images):
    """Answers for images with ONNX Runtime on the CPU.

    Args:
        path: str or Path of an .onnx file.
        images: uint8 array (N, H, W, 3), pixels 0-255; N may be 0.

    Returns:
        dict of NumPy arrays, one per output of the file.

    Raises:
        ValueError: the images do not match the file.
        ImportError: onnxruntime is not installed.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (spec,) = session.get_inputs()
    image_shape = [size if isinstance(size, int) else None for size in spec.shape[1:]]
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {spec.name: check_images(images, image_shape)})
    return dict(zip(names, values, strict=True))
