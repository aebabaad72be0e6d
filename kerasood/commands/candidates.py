"""Which models a list of run directories means."""

import dataclasses
import itertools

from kerasood.commands.bases import base_config
from kerasood.data.splits import calibration_source, training_source
from kerasood.errors import InvalidInputError
from kerasood.evaluation.measure import Candidate
from kerasood.extractor.build import build_full_extractor, head_of
from kerasood.networks.fingerprint import model_hash
from kerasood.networks.saving import load_network


def run_candidates(run, options, cache=True):
    """The trained model of a run, and before it the one that its fine-tune started from.

    Args:
        run: Run.
        options: DataOptions of the training and calibration images.
        cache: whether outputs are kept in the run directory.

    Returns:
        list of one or two Candidates.

    Raises:
        ValueError: training has not finished.
    """
    check_complete(run)
    paths = [("base", run.initial_model)] if run.initial_model.exists() else []
    paths.append((_label(run.config), run.model))
    shared = {
        "training": training_source(run.config, options),
        "calibration": calibration_source(run.config, options),
        "cache": run.outputs if cache else None,
    }
    candidates = []
    for label, path in paths:
        extractor = build_full_extractor(load_network(path))
        key = label if label == "base" else run.path.name
        before = base_config(run.config) if path == run.initial_model else None
        own = {"head": head_of(extractor), "seed": (before or run.config).seed}
        candidates.append(Candidate(key, label, f"{path}", extractor, **own, **shared))
    return candidates


def check_complete(run):
    """Refuses a run whose training has not finished.

    Raises:
        ValueError: it has not.
    """
    if not run.complete:
        raise InvalidInputError(
            f"Expected a complete run. Received: {run.path}, whose training has not finished "
            "(continue it with `train.py --resume`)"
        )


def compared_candidates(runs, options, cache=True):
    """All models of some runs, each once: equal bases are one model.

    Args:
        runs: list of complete Runs.
        options: DataOptions of the training and calibration images.
        cache: whether outputs are kept in the run directories.

    Returns:
        (candidates, {run path: key of its trained model}), with unique keys.
    """
    candidates, keys_by_digest, final_keys = [], {}, {}
    for run in runs:
        base = None
        for candidate in run_candidates(run, options, cache):
            digest = model_hash(candidate.extractor) or id(candidate.extractor)
            if digest not in keys_by_digest:
                candidate = dataclasses.replace(candidate, base=base)
                candidate = _with_own_key(candidate, run, set(keys_by_digest.values()))
                keys_by_digest[digest] = candidate.key
                candidates.append(candidate)
            base = final_keys[run.path] = keys_by_digest[digest]
    return candidates, final_keys


def seed_groups(runs, candidates):
    """Which of the compared models are one recipe trained with several seeds.

    Fine-tunes belong together when their configurations and those of their bases differ in the
    seed alone.

    Args:
        runs: list of Runs.
        candidates: their Candidates, from `compared_candidates`.

    Returns:
        [{"label", "models": keys, "seeds"}], every model in one group, in the order of candidates.
    """
    recipes = {}
    for run in runs:
        recipes[str(run.model)] = (recipe_of(run.config), run.config.seed)
        base = base_config(run.config)
        recipes[str(run.initial_model)] = (
            (recipe_of(base), base.seed) if base else (_seedless(run.config), run.config.seed)
        )
    groups = {}
    for candidate in candidates:
        recipe, seed = recipes[candidate.description]
        group = groups.setdefault(recipe, {"label": candidate.label, "models": [], "seeds": []})
        group["models"].append(candidate.key)
        group["seeds"].append(seed)
    return list(groups.values())


def recipe_of(config):
    """Everything that decides a run's result but the seed, as a hashable value.

    What follows from the seed is left out as well: the base's weights, the images it did not see
    and the margins derived from it.
    """
    fields = dataclasses.asdict(config)
    dependent = ["seed", "init", "init_hash", "holdout_seed"]
    if config.margins is not None:
        dependent += ["margin_in", "margin_out"]
    for name in dependent:
        del fields[name]
    base = base_config(config)
    return (*fields.items(), recipe_of(base) if base else _seedless(config))


def _seedless(config):
    return (config.init or "").replace(f"seed{config.seed}", "seed*")


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
