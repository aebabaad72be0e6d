"""From an OODModel to files that answer elsewhere as it does here."""

import dataclasses
import json
import os
import pathlib
import typing

import numpy as np

from kerasood.data.adapters import as_source
from kerasood.errors import InvalidInputError
from kerasood.export.checks.golden import write_golden
from kerasood.export.checks.promise import said_of_scores, verify_promise
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
from kerasood.export.graph.quantization import Quantization
from kerasood.export.metadata import (
    build_metadata,
    calibration_in,
    read_metadata,
    write_metadata,
)
from kerasood.export.versions import check_version, new_version
from kerasood.logs import log
from kerasood.serving import OODModel, check_images
from kerasood.serving.checks import checked_names
from kerasood.thresholds import Promise, calibrate_outputs

BATCH_SIZE = 250


@dataclasses.dataclass(frozen=True)
class Exported:
    """One exported version: its folder, the path of each format and how each was verified.

    `notes` are what a format has to say besides. `left_out` says why a format that was not asked
    for by name is missing. `conversion` is what quantising cost, where it was measured: see
    `kerasood.export.checks.conversion`.
    """

    folder: pathlib.Path
    paths: dict[str, pathlib.Path]
    reports: dict[str, Report | QuantizedReport]
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    conversion: dict | None = None


def export_model(
    ood_model: OODModel, folder: str | os.PathLike, *, images: typing.Any,
    metadata: dict | None = None, model_name: str = "model",
    formats: typing.Sequence[str] | None = None, version: int | None = None,
    quantization: Quantization | None = None, max_pixels: int = MAX_PIXELS,
    calibration_images: typing.Any = None,
) -> Exported:
    """Writes `<folder>/<model_name>/<version>/`, verified before anyone can load it.

    Everything happens in a folder beside it whose name TF Serving ignores, and is renamed at the
    end; after a failure nothing is left. Without a SavedModel it is `<model_name>-lite/<version>/`,
    since TF Serving refuses a version that holds none.

    Args:
        ood_model: OODModel.
        folder: str or Path of the model base path.
        images: uint8 (N, H, W, 3), N >= 1, pixels 0-255, to verify with, to which a black and a
            white one are added; better a mixture of in-distribution and OOD images.
        metadata: dict of JSON values that travel with the model, or None.
        model_name: str of letters, digits, `_`, `.` and `-`.
        formats: names out of FORMATS. By default the SavedModel, and of the others whose packages
            are installed those that can express the model and answer as it does; a warning and the
            metadata's "left_out" say which cannot, and why.
        version: int > 0; by default one more than the largest there is.
        quantization: Quantization of the files that can be quantised, or None.
        max_pixels: int, pixels of the largest JPEG file that the SavedModel decodes; a PNG may have
            54 million of them.
        calibration_images: images such as the threshold was calibrated on, in any form that
            `kerasood.data.as_source` takes, or None. Every file must accept as many of them as the
            metadata's "calibration" promises; a quantised one is calibrated on them. Without them
            the notes say where no image has a score like those of the calibration.

    Returns:
        Exported.

    Raises:
        ExportMismatch: an exported file does not answer as the model does.
        VersionExists: the version exists.
        Inexpressible: a format that was asked for lacks what the model needs.
        InvalidInputError: an argument that cannot be, seen before anything is written.
        StorageError: the folder cannot be written.
    """
    check_version(model_name, version)
    kinds, optional = _chosen(formats, quantization)
    metadata = _checked(ood_model, metadata, max_pixels)
    images = _to_verify(ood_model, images)
    for kind in kinds:
        if kind not in optional:
            kind.refuse(ood_model)
    calibrating = None if calibration_images is None else as_source(calibration_images)
    writing = _Writing(ood_model, metadata, images, quantization, calibrating)
    is_served = any(not kind.file for kind in kinds)
    with new_version(folder, model_name, version, is_served) as (temporary, target):
        for kind in kinds:
            writing.write(kind, temporary, kind in optional)
        notes = writing.finish(temporary, model_name)
    for part in {FORMATS[name].deploys for name in writing.paths} - {None}:
        write_deploy(target.parent, part, model_name, int(target.name))
    paths = {name: target / path.relative_to(temporary) for name, path in writing.paths.items()}
    return Exported(target, paths, writing.reports, notes, writing.left_out)


class _Writing:
    """Writes and verifies the formats of one version, one after the other."""

    def __init__(self, ood_model, metadata, images, quantization, calibrating):
        self.paths, self.reports, self.left_out, self._own = {}, {}, {}, {}
        self._model, self._metadata = ood_model, metadata
        self._quantization, self._calibrating = quantization, calibrating
        # Where a layer divides by what a constant image has none of, runtimes part first.
        constant = np.concatenate([np.full_like(images[:1], value) for value in (0, 255)])
        self._images, self._expected = images, eager_outputs(ood_model, images)
        self._constant, self._constant_expected = constant, eager_outputs(ood_model, constant)

    def write(self, kind, folder, is_optional):
        """Writes and verifies a format; what may be left out leaves a reason instead."""
        before = set(folder.glob("*"))
        if kind.file:
            folder.mkdir(exist_ok=True)
        path = folder / kind.file
        quantization = self._quantization if kind.quantizations else None
        try:
            kind.write(self._model, path, self._metadata, quantization)
            if quantization is not None:
                self._recalibrate(kind, path)
            self._verify(kind, path, quantization)
        except (Inexpressible, ExportMismatch) as error:
            if not is_optional:
                raise
            for file in set(folder.glob("*")) - before:
                file.unlink()
            self.left_out[kind.name] = " ".join(str(error).split())
            log.warning("%s is left out: %s", kind.name, self.left_out[kind.name])
        else:
            self.paths[kind.name] = path

    def _recalibrate(self, kind, path):
        """Writes a quantised file again, with the threshold that its own scores give."""
        usual = calibration_in(self._metadata)
        if self._calibrating is None or usual is None:
            return
        batches = (images for images, _ in self._calibrating.batches(BATCH_SIZE))
        answers = [kind.run(path, images) for images in batches]
        scores, logits = (np.concatenate([a[key] for a in answers]) for key in ("score", "logits"))
        threshold = calibrate_outputs(scores, logits, Promise.of(usual))
        model = OODModel(self._model.network, self._model.detector, threshold)
        calibration = {**self._metadata["calibration"], **threshold.to_json()}
        metadata = {**self._metadata, "calibration": calibration}
        kind.write(model, path, metadata, self._quantization)

    def _verify(self, kind, path, quantization):
        constant, expected = self._constant, self._constant_expected
        if quantization is None:
            self.reports[kind.name] = verify(path, self._images, self._expected)
            verify(path, constant, expected, spread=score_spread(self._expected))
        else:
            self.reports[kind.name], self._own[kind.name] = verify_quantized(
                path, self._images, self._expected, quantization.kind
            )
            verify_decisions(path, constant, expected)
        if self._calibrating is not None:
            verify_promise(path, self._calibrating)

    def finish(self, folder, model_name):
        """Adds golden answers and what each format adds; returns its notes."""
        write_golden(folder, self._images, self._expected, self._own)
        notes = {}
        for name, path in self.paths.items():
            if self.left_out:
                write_metadata(path, {**read_metadata(path), "left_out": self.left_out})
            notes[name] = FORMATS[name].finish(path, self._images, self._metadata, model_name)
        threshold = calibration_in(self._metadata)
        if threshold is not None and self._calibrating is None:
            notes["calibration"] = said_of_scores(threshold, self._expected["score"])
        return {name: note for name, note in notes.items() if note}


def _chosen(formats, quantization):
    """(Formats to write, all at hand, a SavedModel first; those that may be left out)."""
    names = tuple(available_formats() if formats is None else formats)
    check_formats(formats if isinstance(formats, str) else names)
    # A SavedModel wants a folder of its own making.
    kinds = sorted((FORMATS[name] for name in names), key=lambda kind: bool(kind.file))
    quantised = [kind for kind in kinds if kind.quantizations and quantization is not None]
    if quantization is not None and not quantised:
        takers = ", ".join(kind.name for kind in FORMATS.values() if kind.quantizations)
        raise InvalidInputError(
            f"Expected a format that can be quantised: {takers}. Received: formats={formats!r}"
        )
    for kind in quantised:
        kind.check_quantization(quantization)
    if formats is not None:
        return kinds, []
    # Whoever quantises asks for those files.
    return kinds, [kind for kind in kinds if kind.is_optional and kind not in quantised]


def _checked(ood_model, metadata, max_pixels):
    """The metadata that the model carries, and over them those that were given."""
    if not isinstance(ood_model, OODModel):
        raise InvalidInputError(
            "Expected an OODModel: network, detector and threshold in one. "
            f"Received: {type(ood_model).__name__}"
        )
    if metadata is not None and not isinstance(metadata, dict):
        raise InvalidInputError(f"Expected metadata as a dict. Received: metadata={metadata!r}")
    check_max_pixels(max_pixels)
    metadata = {**ood_model.metadata, **(metadata or {})}
    if max_pixels != MAX_PIXELS:
        metadata["max_pixels"] = max_pixels
    checked_names(metadata.get("class_names"), ood_model.num_classes)
    calibration_in(metadata)  # Refuses what is none, before the work.
    try:
        json.dumps(build_metadata(ood_model, metadata), allow_nan=False)
    except InvalidInputError:
        raise
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"Expected metadata of JSON values. Received: {error}") from error
    return metadata


def _to_verify(ood_model, images):
    images = check_images(images, ood_model.image_shape)
    if not len(images):
        raise InvalidInputError("Expected at least one image to verify with. Received: 0 images")
    return images
