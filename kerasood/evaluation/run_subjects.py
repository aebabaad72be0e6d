"""Run directories as subjects: the trained model, what it started from, and their images."""

import dataclasses
import itertools
import os
import pathlib

from kerasood.data.options import DEFAULTS
from kerasood.data.splits import calibration_source, training_source
from kerasood.errors import InvalidInputError
from kerasood.evaluation.image_checks import check_labels
from kerasood.evaluation.subject import Subject, divide, extractor_of, head_or_none, open_labelled
from kerasood.extractor.preprocessing import options_for
from kerasood.logs import log
from kerasood.networks.fingerprint import model_hash
from kerasood.networks.saving import load_network
from kerasood.runs import Run, base_config
from kerasood.training.run import differing_digests


def options_of_runs(runs, options=DEFAULTS):
    """DataOptions of images as the models of some runs take them; see `options_for`.

    Raises:
        ValueError: training has not finished.
    """
    for run in runs:
        run.check_complete()
    return options_for([load_network(run.model) for run in runs], options)


def subject_of_run(run, options=DEFAULTS, **division):
    """The trained model of a run with its images; see `subjects_of_run`."""
    return subjects_of_run(run, options, **division)[-1]


def subjects_of_run(run, options=DEFAULTS, cache=True, test=None, num_choosing=0, seed=1):
    """The trained model of a run, and before it the one that its fine-tune started from.

    Args:
        run: Run.
        options: DataOptions of its images, see `options_of_runs`.
        cache: whether outputs are kept in the run directories, those of the base in its own where
            that is at hand: fine-tunes share them.
        test: ImageSource of labelled test images; opened where it is None.
        num_choosing, seed: see `divide`.

    Returns:
        list of one or two Subjects with the same images.

    Raises:
        ValueError: training has not finished.
    """
    run.check_complete()
    training = training_source(run.config, options)
    calibrating = calibration_source(run.config, options)
    _check_division(run, {"training": training, "validation": calibrating})
    images = divide(
        test or open_labelled(run.config.dataset, options=options), training, calibrating,
        num_choosing, seed,
    )
    paths = [("base", run.initial_model)] if run.initial_model.exists() else []
    paths.append((run.config.label, run.model))
    subjects = []
    for label, path in paths:
        extractor = extractor_of(label, load_network(path))
        before = base_config(run.config) if path == run.initial_model else None
        outputs = _outputs_of_base(run) if path == run.initial_model else run.outputs
        subjects.append(
            Subject(
                key=label if label == "base" else run.path.name,
                label=label,
                description=f"{path}",
                extractor=extractor,
                images=images,
                head=head_or_none(extractor),
                cache=outputs if cache else None,
                seed=(before or run.config).seed,
                base=subjects[0].key if subjects else None,
            )
        )
    check_labels(subjects, (images.testing, images.training))
    return subjects


def _check_division(run, sources):
    """Refuses images that are divided otherwise than in training, where files came or went.

    Which images of a folder in one piece train, calibrate and test depends on how many there are.
    Where as many images have other pixels, as another decoder gives them, a warning says so.
    """
    now = {name: each.digest() for name, each in sources.items() if each and each.is_part}
    for each in (run, _base_at_hand(run)):
        stored = each.recorded_images() if now and each else None
        if not stored or each.config.holdout != run.config.holdout:
            continue
        stored = {name: digest for name, digest in stored.items() if name in now}
        found = {name: digest for name, digest in now.items() if name in stored}
        if not (differing := differing_digests(stored, found)):
            continue
        why = (
            f"the images of {run.config.dataset} that {each.path} was trained on, for they are "
            f"divided by their number: {differing}"
        )
        if any(stored[name]["count"] != found[name]["count"] for name in stored):
            raise InvalidInputError(
                f"Expected {why}. Images that test or calibrate may have been trained on. Train "
                "again, or keep train/ and test/ apart as folders. Received: others"
            )
        log.warning("these are not quite %s", why)


def _base_at_hand(run):
    base = pathlib.Path(run.config.init or run.path)
    if base == run.path or not (base / "config.json").is_file():
        return None
    base = Run.open(base)
    return base if base.config.dataset == run.config.dataset else None


def _outputs_of_base(run):
    """Folder for outputs of the model that a run started from; its hash tells whose they are."""
    base = pathlib.Path(run.config.init or run.path)
    at_hand = (base / "config.json").is_file() and os.access(base, os.W_OK)
    return (Run.open(base) if at_hand else run).outputs


def compared_subjects(runs, options=DEFAULTS, **opening):
    """All models of some runs, each once: equal bases are one model.

    Args:
        runs: list of complete Runs.
        options: DataOptions.
        **opening: see `subjects_of_run`.

    Returns:
        (subjects, {run path: key of its trained model}), with unique keys.
    """
    subjects, keys_by_digest, final_keys = [], {}, {}
    for run in runs:
        base = None
        for subject in subjects_of_run(run, options, **opening):
            digest = model_hash(subject.extractor) or id(subject.extractor)
            if digest not in keys_by_digest:
                subject = _with_own_key(subject.replace(base=base), run, keys_by_digest.values())
                keys_by_digest[digest] = subject.key
                subjects.append(subject)
            final_keys[run.path] = base = keys_by_digest[digest]
    return subjects, final_keys


def seed_groups(runs, subjects):
    """Groups the compared models that are one recipe trained with several seeds.

    Fine-tunes belong together when their configurations and those of their bases differ in the
    seed alone.

    Args:
        runs: list of Runs.
        subjects: their Subjects, from `compared_subjects`.

    Returns:
        [{"label", "models": keys, "seeds"}], every model in one group, in the order of subjects.
    """
    recipes = {}
    for run in runs:
        recipes[str(run.model)] = (recipe_of(run.config), run.config.seed)
        base = base_config(run.config)
        recipes[str(run.initial_model)] = (
            (recipe_of(base), base.seed) if base else (_seedless(run.config), run.config.seed)
        )
    groups = {}
    for subject in subjects:
        recipe, seed = recipes[subject.description]
        group = groups.setdefault(recipe, {"label": subject.label, "models": [], "seeds": []})
        group["models"].append(subject.key)
        group["seeds"].append(seed)
    return list(groups.values())


def recipe_of(config):
    """Everything that decides a run's result but the seed, as a hashable value.

    What follows from the seed is left out as well: the base's weights, the images it did not see
    and the margins derived from it.
    """
    fields = dataclasses.asdict(config)
    for name in ("seed", "init", "init_hash", "holdout_seed", "derived"):
        del fields[name]
    fields["parameters"] = tuple(sorted(fields["parameters"].items()))
    base = base_config(config)
    return (*fields.items(), recipe_of(base) if base else _seedless(config))


def _seedless(config):
    return (config.init or "").replace(f"seed{config.seed}", "seed*")


def _with_own_key(subject, run, taken):
    """The subject, told apart by its run's parent folder, or by a number, where it must be."""
    key, label = subject.key, subject.label
    suffixes = itertools.chain([run.path.parent.name], itertools.count(2))
    while key in taken:
        suffix = next(suffixes)
        key, label = f"{subject.key}:{suffix}", f"{subject.label} {suffix}"
    return subject.replace(key=key, label=label)
