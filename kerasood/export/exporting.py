"""From an OODModel to files that answer elsewhere as it does here."""

import dataclasses
import json
import os
import pathlib
import typing

import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.export.checks.golden import write_golden
from kerasood.export.checks.promise import verify_promise
from kerasood.export.checks.units import score_spread
from kerasood.export.checks.verify import (
    QuantizedReport,
    Report,
    eager_outputs,
    verify,
    verify_decisions,
    verify_quantized,
)
from kerasood.export.deploy import write_deploy
from kerasood.export.errors import ExportMismatch, Inexpressible
from kerasood.export.formats import FORMATS, available_formats, check_formats
from kerasood.export.graph.encoded import MAX_PIXELS, check_max_pixels
from kerasood.export.graph.endpoints import checked_names
from kerasood.export.metadata import build_metadata, read_metadata, write_metadata
from kerasood.export.versions import check_version, new_version
from kerasood.serving import OODModel, check_images


@dataclasses.dataclass(frozen=True)
class Exported:
    """One exported version: its folder, the path of each format and how each was verified.

    `notes` are what a format has to say besides. `left_out` says why a format that was not asked
    for by name is missing.
    """

    folder: pathlib.Path
    paths: dict[str, pathlib.Path]
    reports: dict[str, Report | QuantizedReport]
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)


def export_model(
    ood_model: OODModel,
    folder: str | os.PathLike,
    *,
    images: typing.Any,
    metadata: dict | None = None,
    model_name: str = "model",
    formats: typing.Sequence[str] | None = None,
    version: int | None = None,
    quantization: str | None = None,
    max_pixels: int = MAX_PIXELS,
    calibration_images: typing.Any = None,
) -> "Exported":
    """Writes `<folder>/<model_name>/<version>/`, verified before anyone can load it.

    Everything happens in a folder beside it whose name TF Serving ignores, and is renamed at the
    end; after a failure nothing is left. Without a SavedModel it is `<model_name>-lite/<version>/`,
    since TF Serving refuses a version that holds none.

    Args:
        ood_model: OODModel.
        folder: str or Path of the model base path.
        images: uint8 array (N, H, W, 3), N >= 1, pixels 0-255, to verify with, to which a black and
            a white one are added; better a mixture of in-distribution and OOD images.
        metadata: dict of JSON values that travel with the model, or None.
        model_name: str of letters, digits, `_`, `.` and `-`.
        formats: any of "saved_model" (the folder itself), "tflite" (model.tflite in it), "onnx"
            (model.onnx), "openvino" (model.xml) and those that were registered. By default the
            SavedModel, and of the others whose packages are installed those that can express the
            model and answer as it does; the metadata's "left_out" says which cannot, and why.
        version: int > 0; by default one more than the largest there is.
        quantization: Quantization of the files that can be quantised, or None.
        max_pixels: int, pixels of the largest JPEG file that the SavedModel decodes; a PNG may have
            54 million of them.
        calibration_images: uint8 arrays (N, H, W, 3), a list of batches or one, of images such as
            the threshold was calibrated on, or None: every file must accept as many of them as
            the metadata's "calibration" promises.

    Returns:
        Exported.

    Raises:
        ExportMismatch: an exported file does not answer as the model does.
        VersionExists: the version exists.
        Inexpressible: a format that was asked for lacks what the model needs.
        InvalidInputError: an argument that cannot be, seen before anything is written.
        StorageError: the folder cannot be written.
    """
    kinds = [FORMATS[name] for name in _checked_formats(formats, quantization)]
    optional = {kind.name for kind in kinds if formats is None and _may_lack(kind, quantization)}
    check_version(model_name, version)
    metadata = _merged(ood_model, metadata)
    check_max_pixels(max_pixels)
    if max_pixels != MAX_PIXELS:
        metadata = {**metadata, "max_pixels": max_pixels}
    images = _checked(ood_model, images, metadata)
    for kind in kinds:
        if kind.name not in optional:
            kind.refuse(ood_model)
    expected = eager_outputs(ood_model, images)
    is_served = any(not kind.file for kind in kinds)
    with new_version(folder, model_name, version, is_served) as (temporary, target):
        writing = _Writing(ood_model, temporary, images, expected, metadata, quantization)
        writing.calibration_images = calibration_images
        left_out = {}
        # A SavedModel wants a folder of its own making: first.
        for kind in sorted(kinds, key=lambda kind: bool(kind.file)):
            reason = writing.write(kind, kind.name in optional)
            if reason is not None:
                left_out[kind.name] = reason
        notes = writing.finish(left_out, model_name)
    if is_served:
        write_deploy(target.parent, model_name, int(target.name))
    paths = {name: target / path.relative_to(temporary) for name, path in writing.paths.items()}
    return Exported(target, paths, writing.reports, notes, left_out)


class _Writing:
    """Writes and verifies the formats of one version."""

    def __init__(self, ood_model, folder, images, expected, metadata, quantization):
        self.paths, self.reports, self._own = {}, {}, {}
        self._model, self._folder, self._metadata = ood_model, folder, metadata
        self._images, self._expected, self._quantization = images, expected, quantization
        self.calibration_images = None
        # Where a layer divides by what a constant image has none of, runtimes part first.
        constant = np.concatenate([np.full_like(images[:1], value) for value in (0, 255)])
        self._constant = constant, eager_outputs(ood_model, constant)

    def write(self, kind, is_optional):
        """Writes and verifies a format; returns why it cannot be, where it may be left out."""
        before = set(self._folder.glob("*"))
        if kind.file:
            self._folder.mkdir(exist_ok=True)
        quantization = self._quantization if kind.quantizations else None
        try:
            path = kind.write(
                self._model, self._folder / kind.file, self._metadata, quantization
            )
            self._verify(kind, path, quantization)
        except (Inexpressible, ExportMismatch) as error:
            if not is_optional:
                raise
            for file in set(self._folder.glob("*")) - before:
                file.unlink()
            return " ".join(str(error).split())
        self.paths[kind.name] = path
        return None

    def _verify(self, kind, path, quantization):
        constant, constant_expected = self._constant
        if quantization is None:
            self.reports[kind.name] = verify(path, self._images, self._expected)
            spread = score_spread(self._expected)
            verify(path, constant, constant_expected, spread=spread)
        else:
            self.reports[kind.name], self._own[kind.name] = verify_quantized(
                path, self._images, self._expected, quantization.kind
            )
            verify_decisions(path, constant, constant_expected)
        if self.calibration_images is not None:
            verify_promise(path, self.calibration_images)

    def finish(self, left_out, model_name):
        """Adds golden answers and what each format adds; returns its notes."""
        write_golden(self._folder, self._images, self._expected, self._own)
        notes = {}
        for name, path in self.paths.items():
            if left_out:
                write_metadata(path, {**read_metadata(path), "left_out": left_out})
            note = FORMATS[name].finish(path, self._images, self._metadata, model_name)
            if note:
                notes[name] = note
        return notes


def _checked_formats(formats, quantization):
    """The names of the formats to write, all of them at hand."""
    names = tuple(available_formats() if formats is None else formats)
    check_formats(formats if isinstance(formats, str) else names)
    takers = [kind.name for kind in FORMATS.values() if kind.quantizations]
    if quantization is not None:
        if not set(names) & set(takers):
            raise InvalidInputError(
                f"Expected a format that can be quantised: {', '.join(takers)}. "
                f"Received: formats={formats!r}"
            )
        for name in set(names) & set(takers):
            FORMATS[name].check_quantization(quantization)
    return names


def _may_lack(kind, quantization):
    """True where an export of all formats may lack one; whoever quantises asks for those."""
    return kind.is_optional and not (quantization is not None and kind.quantizations)


def _merged(ood_model, metadata):
    """The metadata that the model carries, and over them those that were given."""
    if not isinstance(ood_model, OODModel):
        raise InvalidInputError(
            "Expected an OODModel: network, detector and threshold in one. "
            f"Received: {type(ood_model).__name__}"
        )
    if metadata is not None and not isinstance(metadata, dict):
        raise InvalidInputError(f"Expected metadata as a dict. Received: metadata={metadata!r}")
    return {**ood_model.metadata, **(metadata or {})}


def _checked(ood_model, images, metadata):
    """Refuses what would fail after seconds of work; returns the images to verify with."""
    images = check_images(images, ood_model.image_shape)
    if not len(images):
        raise InvalidInputError("Expected at least one image to verify with. Received: 0 images")
    content = build_metadata(ood_model, metadata)
    try:
        json.dumps(content, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"Expected metadata of JSON values. Received: {error}") from error
    checked_names(metadata.get("class_names"), ood_model.num_classes)
    return images
