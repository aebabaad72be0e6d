"""Which models a list of run directories means."""

import dataclasses
import itertools

from kerasood.data.in_distribution import calibration_source, training_source
from kerasood.evaluation import Candidate
from kerasood.models.extractor import build_extractor, head_of
from kerasood.models.fingerprint import model_hash
from kerasood.models.saving import load_network


def run_candidates(run, where, cache=True):
    """The trained model of a run, and before it the one that its fine-tune started from.

    Args:
        run: Run.
        where: {"data_dir", "download"} of the training and calibration images.
        cache: whether outputs are kept in the run directory.

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
    paths = [("base", run.initial_model)] if run.initial_model.exists() else []
    paths.append((_label(run.config), run.model))
    shared = {
        "training": training_source(run.config, **where),
        "calibration": calibration_source(run.config, **where),
        "cache": run.outputs if cache else None,
        "seed": run.config.seed,
    }
    candidates = []
    for label, path in paths:
        extractor = build_extractor(load_network(path))
        key = label if label == "base" else run.path.name
        candidates.append(
            Candidate(key, label, f"{path}", extractor, head=head_of(extractor), **shared)
        )
    return candidates


def compared_candidates(runs, where, cache=True):
    """All models of some runs, each once: equal bases are one model.

    Args:
        runs: list of complete Runs.
        where: {"data_dir", "download"} of the training and calibration images.
        cache: whether outputs are kept in the run directories.

    Returns:
        (candidates, {run path: key of its trained model}), with unique keys.
    """
    candidates, keys_by_digest, final_keys = [], {}, {}
    for run in runs:
        for candidate in run_candidates(run, where, cache):
            digest = model_hash(candidate.extractor) or id(candidate.extractor)
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


def _label(config):
    if config.stage == "pretrain":
        return "base"
    return f"+ {config.objective}" + (f" ({config.site})" if config.site else "")
