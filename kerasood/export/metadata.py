"""Metadata of an exported file.

`threshold` is a number, or a list of one number per predicted class.
"""

import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from kerasood.detectors.saving import to_config
from kerasood.errors import InvalidInputError, MissingDataError
from kerasood.files import read_json, write_json
from kerasood.thresholds import PerClassThreshold, Threshold, read_threshold

FILE_NAME = "kerasood.json"  # in a SavedModel's assets.extra; a file's lie in FILE.json


def build_metadata(ood_model: keras.Model, metadata: dict | None) -> dict:
    """Returns `metadata` together with the facts that the model itself knows.

    Args:
        ood_model: OODModel.
        metadata: dict of JSON values: class names, calibration, training commit...

    Raises:
        ValueError: `metadata` holds a key that only the model may set.
    """
    detector = to_config(ood_model.detector)
    facts = {
        "threshold": np.asarray(ood_model.threshold).tolist(),
        "detector": detector["detector"],
        "detector_params": detector["params"],
        "image_shape": list(ood_model.image_shape),
        "num_classes": ood_model.num_classes,
        "exported_with": {"keras": keras.__version__, "tensorflow": tf.__version__},
    }
    taken = sorted(facts.keys() & metadata.keys())
    if taken:
        raise InvalidInputError(
            f"Expected metadata without the keys {', '.join(facts)}, which come from the model. "
            f"Received: {', '.join(taken)}"
        )
    return {**metadata, **facts}


def write_metadata(path: str | os.PathLike, content: dict) -> None:
    """Writes the metadata where `read_metadata(path)` finds it."""
    write_json(_location(path), content)


def read_metadata(path: str | os.PathLike) -> dict:
    """Reads the metadata of a SavedModel folder or of an exported file.

    Raises:
        FileNotFoundError: there is none beside it.
        ValueError: it is not JSON.
    """
    location = _location(path)
    if not location.is_file():
        raise MissingDataError(f"Expected the metadata of {path} in {location}. Received: no file")
    return read_json(location)


def read_calibration(path: str | os.PathLike) -> Threshold | PerClassThreshold:
    """Reads what the threshold of an exported file promises, for `drift_check`.

    Args:
        path: str or Path of a SavedModel folder or of an exported file.

    Returns:
        Threshold or PerClassThreshold.

    Raises:
        FileNotFoundError: there is no metadata beside it.
        ValueError: it was exported without a calibration, or the metadata are damaged.
    """
    calibration = calibration_in(read_metadata(path))
    if calibration is None:
        raise InvalidInputError(
            f"Expected a 'calibration' in the metadata of {path}. Received: none"
        )
    return calibration


def calibration_in(metadata):
    """The Threshold or PerClassThreshold in the metadata of a model, or None."""
    content = metadata.get("calibration")
    if content is None:
        return None
    if not isinstance(content, dict):
        raise InvalidInputError(
            f"Expected metadata with a 'calibration' as a dict. Received: {content!r}"
        )
    return read_threshold({k: v for k, v in content.items() if k != "calibrated_on"})


def _location(path):
    path = pathlib.Path(path)
    if path.is_dir() or not path.suffix:
        return path / "assets.extra" / FILE_NAME
    return path.with_name(f"{path.name}.json")
