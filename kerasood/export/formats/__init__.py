"""FORMATS, the one table: what each format is called on disk, what writes it and what runs it."""

import dataclasses
import functools
import importlib.util
import pathlib
import typing

from kerasood.errors import InvalidInputError
from kerasood.export.formats.onnx import export_onnx, run_onnx
from kerasood.export.formats.openvino import export_openvino, run_openvino
from kerasood.export.formats.saved_model import export_saved_model, run_saved_model
from kerasood.export.formats.tflite import export_tflite, run_tflite, tflite_runtimes


@dataclasses.dataclass(frozen=True)
class Format:
    """One format.

    Args:
        file: its file in the version folder, or "" where it is the folder itself.
        marker: the file that shows that it is there.
        export: function of (OODModel, path, metadata) that writes it.
        run: function of (path, images) -> outputs.
        packages: importable names that it needs beyond TensorFlow.
        runtimes: function that gives further values of `run`'s argument `runtime`, or None.
    """

    file: str
    marker: str
    export: typing.Callable
    run: typing.Callable
    packages: tuple[str, ...] = ()
    runtimes: typing.Callable | None = None

    @property
    def missing(self):
        """The packages that it needs and that are not installed."""
        return tuple(name for name in self.packages if importlib.util.find_spec(name) is None)

    def runners(self):
        """{name of a runtime: function of (path, images) -> outputs}."""
        if self.runtimes is None:
            return {"": self.run}
        return {name: functools.partial(self.run, runtime=name) for name in self.runtimes()}


FORMATS = {
    "saved_model": Format("", "saved_model.pb", export_saved_model, run_saved_model),
    "tflite": Format(
        "model.tflite", "model.tflite", export_tflite, run_tflite, runtimes=tflite_runtimes
    ),
    "onnx": Format(
        "model.onnx", "model.onnx", export_onnx, run_onnx, ("tf2onnx", "onnx", "onnxruntime")
    ),
    "openvino": Format(
        "model.xml", "model.xml", export_openvino, run_openvino, ("openvino",)
    ),
}


def available_formats():
    """Names of the formats whose packages are installed."""
    return tuple(name for name, kind in FORMATS.items() if not kind.missing)


def check_formats(names):
    """Refuses formats that do not exist or whose packages are not installed.

    Raises:
        ValueError: there is one.
    """
    if not names or set(names) - set(FORMATS):
        raise InvalidInputError(
            f"Expected formats out of {', '.join(FORMATS)}. Received: formats={names!r}"
        )
    for name in names:
        if FORMATS[name].missing:
            raise InvalidInputError(
                f"Expected the packages of the format {name}, which "
                f"`pip install 'kerasood[{name}]'` brings. "
                f"Received: no {', '.join(FORMATS[name].missing)}"
            )


def artefacts(folder):
    """{name of a format: path} of what lies in a version folder."""
    folder = pathlib.Path(folder)
    return {
        name: folder / kind.file
        for name, kind in FORMATS.items()
        if (folder / kind.marker).is_file()
    }


def format_of(path):
    """The Format of an exported file or of a SavedModel folder.

    Raises:
        ValueError: `path` is neither.
    """
    path = pathlib.Path(path)
    for kind in FORMATS.values():
        suffix = pathlib.Path(kind.marker).suffix
        is_it = (path / kind.marker).is_file() if not kind.file else path.suffix == suffix
        if is_it and path.exists():
            return kind
    raise InvalidInputError(
        f"Expected a SavedModel folder or a .tflite, .onnx or .xml file. Received: {path}"
    )
