"""OpenVINO: what Intel processors run; needs the extra `openvino`.

OpenVINO also reads the SavedModel folder as it is.
"""

import contextlib
import logging
import tempfile

from kerasood.export.errors import Inexpressible
from kerasood.export.formats.base import Format
from kerasood.export.formats.saved_model import write_archive
from kerasood.quiet import quiet
from kerasood.serving import check_images


class OpenVINO(Format):
    """A pair of files, graph and weights (.bin), in float32, for any batch size."""

    name = "openvino"
    file = "model.xml"
    packages = ("openvino",)

    def convert(self, ood_model, path, metadata, quantization):
        import openvino

        with quiet(), _own_root_logger(), tempfile.TemporaryDirectory() as folder:
            write_archive(ood_model.__call__, ood_model.image_shape, folder)
            try:
                model = openvino.convert_model(folder)
            # The converter raises whatever its frontend raises.
            except Exception as error:
                raise Inexpressible(
                    f"Expected a model that OpenVINO can express. Received: {str(error)[:500]}"
                ) from error
            # By default the weights would be rounded to float16.
            openvino.save_model(model, str(path), compress_to_fp16=False)

    def run(self, path, images, runtime=None):
        model = open_openvino(path)
        sizes = list(model.inputs[0].get_partial_shape())[1:]
        image_shape = [None if size.is_dynamic else size.get_length() for size in sizes]
        outputs = model({"images": check_images(images, image_shape)})
        return {output.get_any_name(): outputs[output] for output in model.outputs}


@contextlib.contextmanager
def _own_root_logger():
    """Gives Python's root logger back as it was.

    A conversion that fails leaves it at the level ERROR, so that nobody's warnings are seen.
    """
    root = logging.getLogger()
    level, filters, handlers = root.level, list(root.filters), list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers


def open_openvino(path, **properties):
    """Compiles a file for the CPU.

    Args:
        path: str or Path of an .xml file, or of a SavedModel folder.
        properties: of OpenVINO's CPU device, such as INFERENCE_NUM_THREADS.
    """
    import openvino

    # Where the processor has bfloat16, OpenVINO would compute in it by default.
    return openvino.Core().compile_model(
        str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32", **properties}
    )
