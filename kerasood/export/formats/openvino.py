"""OpenVINO: what Intel processors run; needs the extra `openvino`.

OpenVINO also reads the SavedModel folder as it is.
"""

import pathlib
import tempfile

from kerasood.export.errors import Inexpressible
from kerasood.export.formats.saved_model import write_archive
from kerasood.export.metadata import build_metadata, write_metadata
from kerasood.quiet import quiet
from kerasood.serving import check_images


def export_openvino(ood_model, path, metadata):
    """Writes OpenVINO's pair of files, in float32, for any batch size.

    Args:
        ood_model: OODModel.
        path: str or Path of the .xml file; the weights go into a .bin file beside it.
        metadata: dict of JSON values, written to FILE.json beside it with the model's facts.

    Returns:
        Path of the .xml file.

    Raises:
        Inexpressible: the graph holds ops that OpenVINO cannot express.
        ValueError: Keras runs on another backend, or `metadata` overrides the model's facts.
        ImportError: openvino is not installed.
    """
    import openvino

    path = pathlib.Path(path)
    content = build_metadata(ood_model, metadata)
    with quiet(), tempfile.TemporaryDirectory() as folder:
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
    write_metadata(path, content)
    return path


def run_openvino(path, images):
    """Answers for images with OpenVINO on the CPU, in float32.

    Args:
        path: str or Path of an .xml file, or of a SavedModel folder.
        images: uint8 array (N, H, W, 3), pixels 0-255; N may be 0.

    Returns:
        dict of NumPy arrays, one per output.

    Raises:
        ValueError: the images do not match the file.
        ImportError: openvino is not installed.
    """
    model = open_openvino(path)
    sizes = list(model.inputs[0].get_partial_shape())[1:]
    image_shape = [None if size.is_dynamic else size.get_length() for size in sizes]
    outputs = model({"images": check_images(images, image_shape)})
    return {output.get_any_name(): outputs[output] for output in model.outputs}


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
