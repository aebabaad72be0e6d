"""TFLite: what phones and small boards run."""

import re
import tempfile
import warnings

import numpy as np
import tensorflow as tf

from kerasood.export.errors import Inexpressible
from kerasood.export.formats.base import Format
from kerasood.export.formats.saved_model import SIGNATURE, write_archive
from kerasood.export.graph.endpoints import names_or_numbers
from kerasood.export.graph.quantization import KINDS, quantize, servable
from kerasood.export.metadata import read_metadata
from kerasood.files import write_text
from kerasood.quiet import quiet
from kerasood.serving import check_images

LABELS = "labels.txt"


class TFLite(Format):
    """A file of builtin ops only, for any batch size.

    It is converted from the bare model, not from the SavedModel, whose guard against empty batches
    would keep the runtime from planning its memory ahead.
    """

    name = "tflite"
    file = "model.tflite"
    deploys = "phone"
    quantizations = KINDS

    def refuse(self, ood_model):
        detector = ood_model.detector
        if detector.input_step:
            raise Inexpressible(
                "Expected a detector without a step on the image for TFLite, which has no "
                "gradients: export with --no-step, or take "
                "kerasood.recalibrate(model, images, step=False), which score images as they are, "
                "with a threshold of their own. "
                f"Received: {type(detector).__name__} with a step of {detector.input_step:g}"
            )

    def convert(self, ood_model, path, metadata, quantization):
        path.write_bytes(_convert(ood_model, quantization))

    def run(self, path, images, runtime=None):
        with quiet():
            # The runtime itself would take images of another size without a word, and answer.
            runner = open_tflite(path, runtime).get_signature_runner(SIGNATURE)
            image_shape = runner.get_input_details()["images"]["shape_signature"][1:]
            images = check_images(images, [size if size >= 0 else None for size in image_shape])
            if len(images):
                return runner(images=images)
        # The runtime fails on an empty batch.
        return {
            name: np.zeros((0, *output["shape_signature"][1:]), output["dtype"])
            for name, output in runner.get_output_details().items()
        }

    def finish(self, path, images, metadata, model_name):
        """Writes the class names for the app, one a line in the order of the outputs."""
        names = names_or_numbers(metadata.get("class_names"), read_metadata(path)["num_classes"])
        labels = path.with_name(LABELS)
        write_text(labels, "".join(f"{' '.join(name.split())}\n" for name in names))
        return f"{labels.name} for the app: sources in {self.deploys}/"

    def runtimes(self):
        return tflite_runtimes()

    def signatures(self, path):
        with quiet():
            runner = open_tflite(path).get_signature_runner(SIGNATURE)
        return {
            SIGNATURE: tuple(
                {
                    name: (np.dtype(info["dtype"]).name, info["shape_signature"].tolist())
                    for name, info in infos.items()
                }
                for infos in (runner.get_input_details(), runner.get_output_details())
            )
        }


def _convert(ood_model, quantization):
    with quiet(), tempfile.TemporaryDirectory() as folder:
        write_archive(servable(ood_model, quantization), ood_model.image_shape, folder)
        try:
            if quantization is None:
                return _converter(folder).convert()
            plain_ops = ()
            if quantization.kind == "int8":
                plain_ops = _op_names(_converter(folder).convert())
            return quantize(_converter(folder), quantization, ood_model, plain_ops)
        # The converter's own error class is private.
        except Exception as error:
            raise Inexpressible(
                "Expected a model that TFLite's builtin ops can express. "
                f"Received: {_unsupported_ops(error)}"
            ) from error


def _converter(folder):
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter


def _unsupported_ops(error):
    names = sorted(set(re.findall(r"'(\S+)' op is neither a custom op nor", str(error))))
    return f"ops {', '.join(names)}" if names else str(error)[:500]


def _op_names(flatbuffer):
    """Names of the outputs of all ops of a file, as the quantiser knows them."""
    interpreter = _interpreter(tflite_runtimes()[0], model_content=flatbuffer)
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    # LiteRT gives no public list of a file's ops.
    return [names[index] for op in interpreter._get_ops_details() for index in op["outputs"]]


def open_tflite(path, runtime=None):
    """Opens a .tflite file in LiteRT's interpreter, or in tf.lite's where that is missing.

    Args:
        path: str or Path.
        runtime: one of `tflite_runtimes()`, or None for the first.
    """
    return _interpreter(runtime or tflite_runtimes()[0], model_path=str(path))


def tflite_runtimes():
    """The runtimes at hand, the one to prefer first: "litert" and "tf.lite"."""
    return tuple(name for name, kind in _RUNTIMES.items() if kind() is not None)


def _litert():
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return None
    return Interpreter


_RUNTIMES = {"litert": _litert, "tf.lite": lambda: getattr(tf.lite, "Interpreter", None)}


def _interpreter(runtime, **content):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        return _RUNTIMES[runtime]()(**content)
