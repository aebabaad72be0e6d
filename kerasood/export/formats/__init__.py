"""FORMATS, the one table of what can be written; each entry says all about itself."""

import os
import pathlib

import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.export.formats.base import Format
from kerasood.export.formats.onnx import ONNX
from kerasood.export.formats.openvino import OpenVINO
from kerasood.export.formats.saved_model import SavedModel
from kerasood.export.formats.tflite import TFLite
from kerasood.names import choose

FORMATS = {kind.name: kind for kind in (SavedModel(), TFLite(), ONNX(), OpenVINO())}


def register_format(kind: Format) -> None:
    """Adds a format of one's own, which `export_model` then writes, verifies and replays.

    Args:
        kind: Format.

    Raises:
        InvalidInputError: it is no Format, or its name or file is taken.
    """
    if not isinstance(kind, Format):
        raise InvalidInputError(f"Expected a Format. Received: {kind!r}")
    taken = [other.name for other in FORMATS.values() if _suffix(other) == _suffix(kind)]
    if not kind.name or kind.name in FORMATS or not kind.file or taken:
        raise InvalidInputError(
            f"Expected a name and a file suffix that no other format has. Received: "
            f"name={kind.name!r}, file={kind.file!r}"
        )
    FORMATS[kind.name] = kind


def available_formats() -> tuple[str, ...]:
    """Names of the formats whose packages are installed."""
    return tuple(name for name, kind in FORMATS.items() if not kind.missing)


def check_formats(names):
    """Refuses formats that do not exist or whose packages are not installed.

    Raises:
        InvalidInputError: there is one.
    """
    if not names or isinstance(names, str):
        raise InvalidInputError(
            f"Expected formats out of {', '.join(FORMATS)}. Received: formats={names!r}"
        )
    for name in names:
        missing = FORMATS[choose("format", name, FORMATS)].missing
        if missing:
            raise InvalidInputError(
                f"Expected the packages of the format {name}, which "
                f"`pip install 'kerasood[{name}]'` brings. Received: no {', '.join(missing)}"
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
        InvalidInputError: `path` is neither.
    """
    for kind in FORMATS.values():
        if kind.holds(path):
            return kind
    suffixes = ", ".join(_suffix(kind) for kind in FORMATS.values() if kind.file)
    raise InvalidInputError(
        f"Expected a SavedModel folder or a file ending in {suffixes}. Received: {path}"
    )


def run_exported(
    path: str | os.PathLike, images: np.ndarray, runtime: str | None = None,
) -> dict[str, np.ndarray]:
    """Answers for images as an exported file does where it is deployed.

    Args:
        path: str or Path of an exported file or a SavedModel folder.
        images: uint8 array (N, H, W, C), pixels 0-255; N may be 0.
        runtime: one of its format's `runtimes()`, or None for the first.

    Returns:
        dict of NumPy arrays, one per output.

    Raises:
        InvalidInputError: `path` is no exported file, or the images do not match it.
    """
    return format_of(path).run(path, images, runtime)


def describe_signature(path: str | os.PathLike) -> str:
    """Lists the inputs and outputs of an exported file with their dtypes and shapes.

    Args:
        path: str or Path of an exported file or a SavedModel folder.

    Returns:
        str of several lines for each signature, the default one first, N standing for any batch
        size; "" for a format that lists none.
    """
    lines = []
    for name, (inputs, outputs) in format_of(path).signatures(path).items():
        lines += [f"signature {name}", "  input", *_lines(inputs), "  outputs", *_lines(outputs)]
    return "\n".join(lines)


def _suffix(kind):
    return pathlib.Path(kind.file).suffix


def _lines(tensors):
    return [
        f"    {name:<14}{dtype:<8} {_shape(sizes)}"
        for name, (dtype, sizes) in sorted(tensors.items())
    ]


def _shape(sizes):
    names = ["N", *(str(size) if size >= 0 else "any" for size in sizes[1:])]
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"
