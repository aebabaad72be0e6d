"""Which models a list of run directories means."""

import dataclasses
import hashlib
import itertools

import numpy as np

from kerasood.data.in_distribution import calibration_source
from kerasood.evaluation import Candidate
from kerasood.models.extractor import build_extractor
from kerasood.models.saving import load_network


def run_candidates(run, where):
    """The trained model of a run, and before it the one that its fine-tune started from.

    Args:
        run: Run.
        where: {"data_dir", "download"} of the calibration images.

    Returns:
        list of one or two Candidates.

    Raises:
        ValueError: training has not finished.
    """
    if not run.complete:
        raise ValueError(
            f"Expected a complete run. Received: {run.path}, whose training has not finished "
            "(continue it with `train.py --resume`)"
        )
    calibration = calibration_source(run.config, **where)
    paths = [("base", run.initial_model)] if run.initial_model.exists() else []
    paths.append((_label(run.config), run.model))
    return [
        Candidate(
            key=label if label == "base" else run.path.name,
            label=label,
            description=f"{path}",
            extractor=build_extractor(load_network(path)),
            calibration=calibration,
        )
        for label, path in paths
    ]


def compared_candidates(runs, where):
    """All models of some runs, each once: equal bases are one model.

    Args:
        runs: list of complete Runs.
        where: {"data_dir", "download"} of the calibration images.

    Returns:
        (candidates, {run path: key of its trained model}), with unique keys.
    """
    candidates, keys_by_digest, final_keys = [], {}, {}
    for run in runs:
        for candidate in run_candidates(run, where):
            digest = _weights_hash(candidate.extractor)
            if digest not in keys_by_digest:
                candidate = _with_own_key(candidate, run, set(keys_by_digest.values()))
                keys_by_digest[digest] = candidate.key
                candidates.append(candidate)
            final_keys[run.path] = keys_by_digest[digest]
    return candidates, final_keys


def _with_own_key(candidate, run, taken):
    """The candidate, told apart by its run's parent folder, or by a number, where it must be."""
    key, label = candidate.key, candidate.label
    suffixes = itertools.chain([run.path.parent.name], itertools.count(2))
    while key in taken:
        suffix = next(suffixes)
        key, label = f"{candidate.key}:{suffix}", f"{candidate.label} {suffix}"
    return dataclasses.replace(candidate, key=key, label=label)


def _weights_hash(model):
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def _label(config):
    if config.stage == "pretrain":
        return "base"
    return f"+ {config.objective}" + (f" ({config.site})" if config.site else "")
