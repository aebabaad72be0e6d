"""A model's outputs for a data set, kept on disk so that no image is computed twice."""

import hashlib
import json
import pathlib
import re

import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.evaluation.outputs import Collected, collect_source
from kerasood.files import atomic_path, open_npz
from kerasood.logs import log
from kerasood.networks.fingerprint import model_hash

LONGEST_NAME = 60


class OutputsCache:
    """Outputs below a folder, by the hash of the model and the fingerprint of the images.

    The model's hash covers weights and configuration, and with it the standardisation; the
    source's fingerprint covers which images, their size and how they were resized. A file that
    cannot be read, or is not what was stored for this model and these images, is computed again; a
    model without a configuration is always computed anew.

    Args:
        folder: str or Path, made when it is needed; None computes everything anew.
    """

    def __init__(self, folder):
        self.folder = None if folder is None else pathlib.Path(folder)
        self._model_hashes = {}

    def collect(self, extractor, source, batch_size=None, progress=None):
        """As `collect_source`, from disk where it was computed before.

        Returns:
            Collected.
        """
        key = self._key(extractor, source)
        if key is None:
            return collect_source(extractor, source, batch_size, progress)
        path = self._path(key, source)
        if (stored := _load(path, key)) is not None:
            if progress is not None:
                progress(stored.num_images)
            return stored
        collected = collect_source(extractor, source, batch_size, progress)
        # What was skipped as unreadable may be readable, or named again, next time.
        if not source.skipped:
            _save(path, key, collected)
        return collected

    def _key(self, extractor, source):
        """(hash of the model, fingerprint of the images), or None where nothing is kept."""
        if self.folder is None:
            return None
        if id(extractor) not in self._model_hashes:
            self._model_hashes[id(extractor)] = (extractor, model_hash(extractor))
        model = self._model_hashes[id(extractor)][1]
        return None if model is None else (model, source.fingerprint())

    def _path(self, key, source):
        # The name may be a path: only its end, and without the folders that it names.
        name = re.sub(r"[^\w. -]", "_", source.name)[-LONGEST_NAME:]
        return self.folder / key[0][:16] / f"{name}-{key[1][:16]}.npz"


def _save(path, key, collected):
    facts = json.dumps({"sha256": collected.sha256, "digest": _digest(key, collected)})
    labels = {} if collected.labels is None else {"labels": collected.labels}
    arrays = {f"outputs/{name}": array for name, array in collected.outputs.items()}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, facts=np.array(facts), **labels, **arrays)


def _load(path, key):
    try:
        with open_npz(path, "outputs") as stored:
            outputs = {
                name.removeprefix("outputs/"): stored[name]
                for name in stored.files
                if name.startswith("outputs/")
            }
            labels = stored["labels"] if "labels" in stored.files else None
            facts = json.loads(str(stored["facts"]))
            collected = Collected(outputs, labels, facts["sha256"])
            if facts["digest"] != _digest(key, collected):
                raise InvalidInputError("Expected outputs as they were stored. Received: others")
            return collected
    except FileNotFoundError:
        return None
    except InvalidInputError as error:
        log.warning("%s is damaged and computed again: %s", path, error)
        return None


def _digest(key, collected):
    """The sha256 of what is stored and of what it was computed from."""
    digest = hashlib.sha256(json.dumps([*key, collected.sha256]).encode())
    for name, array in sorted({**collected.outputs, "/labels": collected.labels}.items()):
        if array is not None:
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
