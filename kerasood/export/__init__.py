"""From an OODModel to files that answer elsewhere as it does here."""

import contextlib
import dataclasses
import functools
import pathlib
import re

import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.export.checks.golden import replay, write_golden
from kerasood.export.checks.requests import check_signatures
from kerasood.export.checks.verify import (
    QuantizedReport,
    Report,
    eager_outputs,
    verify,
    verify_quantized,
)
from kerasood.export.checks.warmup import write_warmup
from kerasood.export.deploy import write_deploy
from kerasood.export.errors import ExportMismatch, Inexpressible
from kerasood.export.formats import FORMATS, available_formats, check_formats
from kerasood.export.formats.onnx import export_onnx, run_onnx
from kerasood.export.formats.openvino import export_openvino, run_openvino
from kerasood.export.formats.saved_model import export_saved_model, load_served, run_saved_model
from kerasood.export.formats.tflite import export_tflite, refuse_gradients, run_tflite
from kerasood.export.graph.folding import fold_batch_norm
from kerasood.export.graph.quantization import QUANTIZATIONS, Quantization
from kerasood.export.graph.signature import describe_signature
from kerasood.export.metadata import read_calibration, read_metadata, write_metadata
from kerasood.files import atomic_path
from kerasood.serving import OODModel

__all__ = [
    "FORMATS",
    "ExportMismatch",
    "Exported",
    "Inexpressible",
    "QUANTIZATIONS",
    "Quantization",
    "QuantizedReport",
    "Report",
    "available_formats",
    "check_signatures",
    "describe_signature",
    "eager_outputs",
    "export_model",
    "export_onnx",
    "export_openvino",
    "export_saved_model",
    "export_tflite",
    "load_served",
    "read_calibration",
    "read_metadata",
    "replay",
    "run_onnx",
    "run_openvino",
    "run_saved_model",
    "run_tflite",
    "verify",
    "verify_quantized",
]


@dataclasses.dataclass(frozen=True)
class Exported:
    """One exported version: its folder, the path of each format and how each was verified.

    `num_warmup` requests will warm up a server that loads the SavedModel. `left_out` says why a
    format that was not asked for by name is missing.
    """

    folder: pathlib.Path
    paths: dict[str, pathlib.Path]
    reports: dict[str, Report | QuantizedReport]
    num_warmup: int = 0
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)


def export_model(
    ood_model,
    folder,
    *,
    images,
    metadata=None,
    model_name="model",
    formats=None,
    version=None,
    quantization=None,
):
    """Writes `<folder>/<model_name>/<version>/`, verified before anyone can load it.

    Everything happens in a folder beside it whose name TF Serving ignores, and is renamed at the
    end; after a failure nothing is left.

    Args:
        ood_model: OODModel.
        folder: str or Path of the model base path.
        images: uint8 array (N, H, W, 3), N >= 1, pixels 0-255, to verify with; better a mixture
            of in-distribution and OOD images.
        metadata: dict of JSON values that travel with the model, or None.
        model_name: str of letters, digits, `_`, `.` and `-`.
        formats: any of "saved_model" (the folder itself), "tflite" (model.tflite in it), "onnx"
            (model.onnx) and "openvino" (model.xml). By default the SavedModel, and of the others
            whose packages are installed those that can express the model and answer as it does;
            the metadata's "left_out" says which cannot, and why.
        version: int > 0; by default one more than the largest there is.
        quantization: Quantization of the TFLite file, or None.

    Returns:
        Exported.

    Raises:
        ExportMismatch: an exported file does not answer as the model does.
        FileExistsError: the version exists.
        Inexpressible: a format that was asked for lacks what the model needs.
        ValueError: an unknown format, or one whose packages are missing; a model name or version
            that cannot be served; or a quantization without TFLite.
        OSError: the folder cannot be written.
    """
    if not isinstance(ood_model, OODModel):
        raise InvalidInputError(
            "Expected an OODModel: network, detector and threshold in one. "
            f"Received: {type(ood_model).__name__}"
        )
    metadata = {**ood_model.metadata, **(metadata or {})}
    optional = _optional(quantization) if formats is None else ()
    formats = available_formats() if formats is None else formats
    _check_formats(ood_model, formats, quantization, optional)
    target = _version_folder(pathlib.Path(folder), model_name, version)
    expected = eager_outputs(ood_model, images)
    with _no_empty_parents(target), atomic_path(target) as temporary:
        writers = _writers(ood_model, temporary, metadata or {}, formats, quantization)
        paths, reports, left_out = _write_and_verify(
            writers, temporary, images, expected, quantization, optional
        )
        _record_left_out(paths, left_out)
        num_warmup = 0
        if "saved_model" in paths:
            num_warmup = _ask_every_signature(
                temporary, images, metadata.get("class_names"), model_name
            )
    if "saved_model" in paths:
        write_deploy(target.parent, model_name, int(target.name))
    final_paths = {name: target / path.relative_to(temporary) for name, path in paths.items()}
    return Exported(target, final_paths, reports, num_warmup, left_out)


def _check_formats(ood_model, formats, quantization, optional):
    """Refuses what cannot be written, before anything is."""
    check_formats(formats)
    if quantization is not None and "tflite" not in formats:
        raise InvalidInputError(
            f"Expected the format tflite, which alone is quantised. Received: formats={formats!r}"
        )
    if "tflite" in formats and "tflite" not in optional:
        refuse_gradients(ood_model)


def _optional(quantization):
    """The formats that an export of all may do without; whoever quantises asks for TFLite."""
    needed = {"saved_model"} if quantization is None else {"saved_model", "tflite"}
    return tuple(name for name in FORMATS if name not in needed)


def _writers(ood_model, folder, metadata, formats, quantization):
    """{format: function without arguments that writes it}, in the table's order.

    A SavedModel comes first, since it wants a folder of its own making.
    """
    return {
        name: functools.partial(_write, name, ood_model, folder, metadata, quantization)
        for name in FORMATS
        if name in formats
    }


def _write_and_verify(writers, folder, images, expected, quantization, optional):
    """Writes every format, verifies it, and keeps the answers.

    Args:
        writers: {format: function without arguments that writes it and returns its path}.
        folder: where they and the golden answers go.
        optional: formats that may fail, and leave nothing then.

    Returns:
        Paths, reports, and why it was left out, each by format.
    """
    paths, reports, own, left_out = {}, {}, {}, {}
    for name, write in writers.items():
        before = set(folder.glob("*"))
        try:
            path = write()
            if name == "tflite" and quantization is not None:
                reports[name], own[name] = verify_quantized(
                    path, images, expected, quantization.kind
                )
            else:
                reports[name] = verify(path, images, expected)
            paths[name] = path
        except (Inexpressible, ExportMismatch) as error:
            if name not in optional:
                raise
            left_out[name] = " ".join(str(error).split())
            for file in set(folder.glob("*")) - before:
                file.unlink()
    write_golden(folder, np.asarray(images), expected, own)
    return paths, reports, left_out


def _record_left_out(paths, left_out):
    for path in paths.values() if left_out else ():
        write_metadata(path, {**read_metadata(path), "left_out": left_out})


def _write(name, ood_model, folder, metadata, quantization):
    """Writes one format and returns its path."""
    path = folder / FORMATS[name].file
    if name == "saved_model":
        # The other formats' converters fold it themselves.
        network = fold_batch_norm(ood_model.network)
        folded = OODModel(network, ood_model.detector, ood_model.threshold, ood_model.name)
        return FORMATS[name].export(folded, folder, metadata)
    folder.mkdir(exist_ok=True)
    options = {"quantization": quantization} if name == "tflite" else {}
    return FORMATS[name].export(ood_model, path, metadata, **options)


def _ask_every_signature(folder, images, class_names, model_name):
    """Checks the signatures, and writes requests that warm them up; returns how many."""
    with load_served(folder) as served:
        check_signatures(served, images, class_names)
        return write_warmup(served, folder, model_name, images.shape[1:])


def _version_folder(folder, model_name, version):
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", model_name):
        raise InvalidInputError(
            "Expected a model name of letters, digits, '_', '.' and '-'. "
            f"Received: model_name={model_name!r}"
        )
    base = folder / model_name
    existing = {int(path.name): path for path in base.glob("*") if path.name.isdecimal()}
    if version is None:
        version = max(existing, default=0) + 1
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InvalidInputError(f"Expected an integer version > 0. Received: version={version!r}")
    if version in existing:
        raise FileExistsError(
            "Expected a version that does not exist yet, or none for the next one. "
            f"Received: version={version}, which is at {existing[version]}"
        )
    return base / str(version)


@contextlib.contextmanager
def _no_empty_parents(path):
    """Removes again, on failure, the empty parents that did not exist before."""
    created = [parent for parent in path.parents if not parent.exists()]
    try:
        yield
    except BaseException:
        for parent in created:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise
