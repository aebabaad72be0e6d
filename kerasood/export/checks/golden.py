"""Images and the right answers to them, kept beside the files so that they can be asked again."""

import os
import pathlib

import numpy as np

from kerasood.errors import MissingDataError
from kerasood.export.checks.units import EXACT, QUANTIZED, score_spread
from kerasood.export.checks.verify import verify
from kerasood.export.errors import ExportMismatch
from kerasood.export.formats import FORMATS, artefacts
from kerasood.export.metadata import read_metadata
from kerasood.files import atomic_path, open_npz

FILE_NAME = "golden.npz"
NUM_GOLDEN = 16
SPREAD = "spread"


def write_golden(folder, images, expected, own=None):
    """Keeps some images of an export and what was answered to them.

    Args:
        folder: str or Path of the version folder.
        images: uint8 array (N, H, W, 3), pixels 0-255; at most 16 are kept, evenly spaced.
        expected: dict of arrays, what Keras answers.
        own: {name of a format: dict of arrays} of files that answer otherwise, since they are
            quantised.
    """
    rows = np.unique(np.linspace(0, len(images) - 1, NUM_GOLDEN).astype(int))
    answers = {"keras": expected, **(own or {})}
    arrays = {
        f"{source}/{name}": values[rows]
        for source, outputs in answers.items()
        for name, values in outputs.items()
    }
    # Of all images, so that a file is held to what it was held to at its export.
    arrays |= {f"{source}/{SPREAD}": score_spread(outputs) for source, outputs in answers.items()}
    with atomic_path(pathlib.Path(folder) / FILE_NAME) as path:
        np.savez_compressed(path, images=images[rows], **arrays)


def replay(folder: str | os.PathLike) -> dict:
    """Asks every file of a version folder again what it was asked when it was exported.

    Args:
        folder: str or Path of the version folder.

    Returns:
        {name of a format: Report, or ExportMismatch that says what differs, or a str that says
        why it was not run}.

    Raises:
        MissingDataError: there are no golden images, or no exported files.
        InvalidInputError: the golden images cannot be read.
    """
    images, answers = read_golden(folder)
    found = artefacts(folder)
    if not found:
        raise MissingDataError(f"Expected exported files in {folder}. Received: none")
    return {name: _replayed(name, path, images, answers) for name, path in found.items()}


def verify_export(folder: str | os.PathLike) -> dict:
    """Replays the golden images of a version folder; see `replay`.

    Returns:
        {name of a format: Report, or str: why it was not run}.

    Raises:
        ExportMismatch: a file answers otherwise, or none could be run; `results` is all that
            `replay` returned.
        MissingDataError: there are no golden images, or no exported files.
    """
    results = replay(folder)
    wrong = [name for name, result in results.items() if isinstance(result, ExportMismatch)]
    if wrong:
        raise ExportMismatch(
            f"Expected the answers of the export from {folder}. "
            f"Received: others from {', '.join(wrong)}",
            results,
        )
    if all(isinstance(result, str) for result in results.values()):
        raise ExportMismatch(
            f"Expected a file that can be run in {folder}. Received: none ({', '.join(results)})",
            results,
        )
    return results


def _replayed(name, path, images, answers):
    if FORMATS[name].missing:
        return f"not run, since {', '.join(FORMATS[name].missing)} is not installed"
    try:
        quantized = read_metadata(path).get("quantization", "none") != "none"
        tolerance = QUANTIZED if quantized else EXACT
        expected = dict(answers.get(name, answers["keras"]))
        spread = expected.pop(SPREAD, None)
        return verify(path, images, expected, tolerance, "the stored answers", spread)
    except ExportMismatch as mismatch:
        return mismatch
    # A runtime raises whatever it likes when a file is damaged.
    except Exception as error:
        return ExportMismatch(f"Expected answers from {path}. Received: {str(error)[:500]}")


def read_golden(folder):
    """The golden images of a version folder, and {"keras" or a format's name: the answers}.

    Among the answers is "spread", () float, the score's over all images that were verified with.

    Raises:
        FileNotFoundError: there are none.
        ValueError: the file is damaged.
    """
    path = pathlib.Path(folder) / FILE_NAME
    if not path.is_file():
        raise MissingDataError(f"Expected golden images in {path}. Received: no file")
    answers = {}
    with open_npz(path, "golden images") as arrays:
        images = arrays["images"]
        for key in set(arrays.files) - {"images"}:
            source, _, name = key.partition("/")
            answers.setdefault(source, {})[name] = arrays[key]
        answers["keras"]
    return images, answers
