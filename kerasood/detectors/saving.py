"""A detector as plain values: a JSON configuration and named arrays; and as one file of both."""

import hashlib
import json

import numpy as np
from sklearn.base import clone

from kerasood.detectors.base import Detector
from kerasood.detectors.registry import DETECTORS, name_of
from kerasood.errors import InvalidInputError
from kerasood.files import atomic_path, open_npz
from kerasood.names import choose


def to_config(detector):
    """Configuration that rebuilds a detector without its fitted arrays.

    Args:
        detector: Detector.

    Returns:
        JSON values: {"detector": name, "params": {...}}, detectors among the parameters likewise,
        and "choice" when its parameters were chosen on images.
    """
    params = {
        name: to_config(value) if isinstance(value, Detector) else _plain(value)
        for name, value in detector.get_params(deep=False).items()
    }
    config = {"detector": name_of(detector), "params": params}
    if hasattr(detector, "choice_"):
        config["choice"] = detector.choice_
    return config


def from_config(config):
    """The detector that `to_config` described, not fitted.

    Raises:
        ValueError: there is no such detector, or its class no such parameters.
    """
    kind = "detector (the module that registers an own one must be imported first)"
    detector_class = DETECTORS[choose(kind, config["detector"], DETECTORS)]
    params = {
        name: from_config(value) if _is_config(value) else _unlisted(value)
        for name, value in config["params"].items()
    }
    try:
        detector = detector_class(**params)
    except TypeError as error:
        raise InvalidInputError(
            f"Expected parameters of {config['detector']}. Received: {error}"
        ) from error
    if "choice" in config:
        detector.choice_ = config["choice"]
    return detector


def fitted_arrays(detector):
    """Fitted arrays of a detector: {name: array}; of a detector in it as "detector_/name"."""
    arrays = {}
    for name, value in vars(detector).items():
        if isinstance(value, Detector) and name.endswith("_"):
            inner = fitted_arrays(value)
            arrays |= {f"{name}/{key}": array for key, array in inner.items()}
        elif name.endswith("_") and name != "choice_":
            arrays[name] = np.asarray(value)
    return arrays


def restore_arrays(detector, arrays):
    """Gives a detector back what `fitted_arrays` took from one with equal parameters."""
    inner: dict[str, dict] = {}
    for key, array in arrays.items():
        name, _, rest = key.partition("/")
        if not (name.isidentifier() and name.endswith("_")) or name.startswith("_"):
            raise InvalidInputError(
                f"Expected attributes of a fit, whose names end in _. Received: {name!r}"
            )
        if rest:
            inner.setdefault(name, {})[rest] = array
        else:
            setattr(detector, name, np.asarray(array))
    for name, value in detector.get_params(deep=False).items():
        if isinstance(value, Detector) and detector.learns:
            fitted = clone(value)
            restore_arrays(fitted, inner.get(f"{name}_", {}))
            setattr(detector, f"{name}_", fitted)


def fingerprint(detector):
    """sha256 of what a detector is and learned: str of 64 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps(to_config(detector), sort_keys=True).encode())
    for name, array in sorted(fitted_arrays(detector).items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def save_detector(path, detector):
    """Writes a fitted detector to an .npz file, atomically.

    Args:
        path: str or Path that ends in `.npz`.
        detector: Detector.
    """
    config = np.array(json.dumps(to_config(detector)))
    sha256 = np.array(fingerprint(detector))
    with atomic_path(path) as temporary:
        np.savez(temporary, config=config, sha256=sha256, **{
            f"fitted/{name}": array for name, array in fitted_arrays(detector).items()
        })


def load_detector(path):
    """Reads what `save_detector` wrote; nothing is unpickled.

    Raises:
        ValueError: the file holds no detector, or another than was written.
    """
    with open_npz(path, "a detector") as stored:
        config, sha256 = json.loads(str(stored["config"])), str(stored["sha256"])
        arrays = {
            name.removeprefix("fitted/"): stored[name]
            for name in stored.files
            if name.startswith("fitted/")
        }
    detector = from_config(config)
    restore_arrays(detector, arrays)
    if fingerprint(detector) != sha256:
        raise InvalidInputError(
            f"Expected {config['detector']} as it was fitted in {path}. Received: changed contents"
        )
    return detector


def _is_config(value):
    return isinstance(value, dict) and value.keys() >= {"detector", "params"}


def _plain(value):
    """NumPy numbers as Python's, sequences as lists: what JSON keeps."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _unlisted(value):
    return tuple(value) if isinstance(value, list) else value
