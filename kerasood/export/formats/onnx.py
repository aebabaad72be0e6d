"""ONNX: what ONNX Runtime and its many hosts run; needs the extra `onnx`."""

import warnings

import numpy as np
import tensorflow as tf

from kerasood.export.errors import Inexpressible
from kerasood.export.formats.base import Format
from kerasood.quiet import quiet
from kerasood.serving import check_images

OPSET = 17


class ONNX(Format):
    """One input `images` and outputs by name, for any batch size, in float32."""

    name = "onnx"
    file = "model.onnx"
    packages = ("tf2onnx", "onnx", "onnxruntime")

    def convert(self, ood_model, path, metadata, quantization):
        images = tf.TensorSpec((None, *ood_model.image_shape), tf.uint8, name="images")
        proto = _converted(tf.function(ood_model.__call__), images)
        path.write_bytes(proto.SerializeToString())

    def run(self, path, images, runtime=None):
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (spec,) = session.get_inputs()
        image_shape = [size if isinstance(size, int) else None for size in spec.shape[1:]]
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, {spec.name: check_images(images, image_shape)})
        return dict(zip(names, values, strict=True))


def _converted(function, images):
    """The ModelProto of a tf.function of one tensor."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx trails behind NumPy
        import onnx
        import tf2onnx

        try:
            proto, _ = tf2onnx.convert.from_function(
                function, [images], opset=OPSET, custom_op_handlers=HANDLERS
            )
            _bind_captured(proto, function.get_concrete_function(images))
            # Ops that it does not know pass through it without an error.
            onnx.checker.check_model(proto)
        # The converter raises whatever a handler of one op raises, the checker an error of its own.
        except Exception as error:
            raise Inexpressible(
                f"Expected a model that ONNX can express. Received: {str(error)[:500]}"
            ) from error
    return proto


def _log1p(graph, node, name, _):
    """log(1 + x), which tf2onnx lacks; its own signature of a handler."""
    one = graph.make_const(f"{name}_one", np.ones((), "float32"))
    sum_ = graph.make_node("Add", [node.input[0], one.output[0]])
    node.type = "Log"
    graph.replace_input(node, node.input[0], sum_.output[0], 0)


def _erfc(graph, node, name, _):
    """1 - erf(x), of the exact GELU, which tf2onnx lacks; its own signature of a handler."""
    one = graph.make_const(f"{name}_one", np.ones((), "float32"))
    erf = graph.make_node("Erf", [node.input[0]])
    node.type = "Sub"
    graph.replace_inputs(node, [one.output[0], erf.output[0]])


def _bind_captured(proto, concrete):
    """Makes constants of the tensors that a function captured, such as a Normalization's mean.

    tf2onnx makes further inputs of them.
    """
    from onnx import numpy_helper

    captured = {inside.name: outside for outside, inside in concrete.graph.captures}
    for spec in list(proto.graph.input):
        if spec.name in captured:
            values = captured[spec.name].numpy()
            proto.graph.initializer.append(numpy_helper.from_array(values, spec.name))
            proto.graph.input.remove(spec)


HANDLERS = {"Log1p": (_log1p, []), "Erfc": (_erfc, [])}
