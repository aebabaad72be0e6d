"""Runs models over images with progress bars, and gathers what every report says."""

import dataclasses
import datetime

from kerasood.commands.common import console, progress_bar
from kerasood.commands.ood_sets import size_note
from kerasood.data import registry
from kerasood.data.open import open_source
from kerasood.detectors import DETECTORS, build
from kerasood.errors import InvalidInputError
from kerasood.evaluation.measure import Settings, evaluate_candidate
from kerasood.extractor.build import output_names
from kerasood.names import choose
from kerasood.reporting.details import value_text
from kerasood.runs import command_line, git_commit, versions


def open_test(config, dataset, image_size=32):
    """The labelled in-distribution test images, squares of `image_size` pixels: ImageSource.

    Raises:
        ValueError: they have no labels.
    """
    test = open_source(dataset, "test", config.data.replace(image_size=image_size))
    if test.num_classes is None:
        raise InvalidInputError(
            f"Expected labelled test images. Received: {dataset} without labels"
        )
    return test


def settings_of(config, detectors, protocol):
    """Settings of an EvaluateConfig for {name: Detector} and a Protocol."""
    return Settings(
        detectors=detectors,
        protocol=protocol,
        tpr=config.tpr,
        seed=config.seed,
        batch_size=config.batch_size,
        tune=config.tune,
        validation_images=config.validation_images,
    )


def detector_names(names):
    """The names of detectors that a flag asks for: "all", or names that `build` takes.

    Raises:
        ValueError: an unknown one.
    """
    if names == ("all",):
        return tuple(DETECTORS)
    return tuple(checked_detector(name) for name in names)


def checked_detector(name):
    """A name that `build` takes, such as "energy" or "react+msp"; otherwise a ValueError."""
    for part in name.split("+"):
        choose("detector", part, DETECTORS)
    build(name)
    return name


def usable_detectors(names, candidates, all_wanted, tune):
    """{name: Detector} without those of "all" that these models cannot have, which are named.

    Args:
        names: names that `build` takes.
        candidates: list of Candidates.
        all_wanted: bool; detectors that were asked for by name are never left out.
        tune: bool, whether detectors with a grid must choose from it.
    """
    usable = {name: build(name) for name in names}
    if not all_wanted:
        return usable
    lacking = {
        "training images are not at hand": lambda detector, model: (
            detector.learns and model.training is None
        ),
        "there are no training images to choose parameters on (without tune: the defaults)": (
            lambda detector, model: (
                tune and detector.GRID and model.training is None and model.calibration is None
            )
        ),
        "the head's weights cannot be read": lambda detector, model: (
            detector.needs_head and model.head is None
        ),
        "the models have no such outputs": lambda detector, model: (
            detector.missing(output_names(model.extractor))
        ),
    }
    for reason, lacks in lacking.items():
        out = [n for n, d in usable.items() if any(lacks(d, model) for model in candidates)]
        if out:
            console.print(f"left out, since {reason}: {', '.join(out)}", style="yellow")
        usable = {name: detector for name, detector in usable.items() if name not in out}
    return usable


def announce_gradients(settings):
    """Says which detectors will take long."""
    stepping = [
        name
        for name, detector in settings.detectors.items()
        if detector.input_step or settings.tune and any(detector.GRID.get("magnitude", ()))
    ]
    if stepping:
        console.print(
            f"{', '.join(stepping)}: a step on the image costs a gradient and a second forward "
            "pass over every image"
        )


def measure(candidates, test, sources, settings, detectors_of=None):
    """Evaluates models, with a progress bar.

    Args:
        candidates: list of Candidates.
        test: ImageSource of labelled in-distribution test images.
        sources: {set name: ImageSource}.
        settings: Settings.
        detectors_of: {candidate key: names of its detectors}, all of the settings' by default.

    Returns:
        {candidate key: Evaluated}.
    """
    evaluated = {}
    with progress_bar() as bar:
        for candidate in candidates:
            step = _stepper(bar, candidate, test, sources)
            own = settings
            if detectors_of is not None:
                names = detectors_of[candidate.key]
                chosen = {name: settings.detectors[name] for name in names}
                own = dataclasses.replace(settings, detectors=chosen)
            evaluated[candidate.key] = evaluate_candidate(candidate, test, sources, own, step)
            _print_choices(evaluated[candidate.key].entry)
    return evaluated


def results_of(config, dataset, test, settings, evaluated):
    """The part of the results that does not depend on the OOD sets.

    Args:
        config: EvaluateConfig.
        dataset: name or path of the in-distribution set.
        test: ImageSource of its test images.
        settings: Settings.
        evaluated: {candidate key: Evaluated}.
    """
    spec = registry.DATASETS.get(dataset)
    title = spec.title if spec is not None else dataset
    names = list(settings.detectors)
    parts = list(evaluated.values())
    return {
        "title": f"OOD detection on {title}",
        "dataset": {
            "name": dataset,
            "title": title,
            "split": "test",
            "num_images": test.num_images,
            "note": "; ".join(
                filter(None, (registry.count_note(dataset, test.num_images), size_note(test)))
            ),
        },
        "protocol": settings.protocol.to_json(),
        "detectors": names,
        "primary": "energy" if "energy" in names else names[0],
        "models": [part.entry for part in parts],
        "metrics": [entry for part in parts for entry in part.metrics],
        "thresholds": [entry for part in parts for entry in part.calibrated],
        "images": {key: part.images for key, part in evaluated.items()},
        **provenance(config),
    }


def provenance(config):
    """What a report says about where it comes from."""
    return {
        "command": command_line(),
        "commit": git_commit(),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seed": config.seed,
    }


def _stepper(bar, candidate, test, sources):
    tasks = {}
    own = {"calibration": candidate.calibration, "train": candidate.training}

    def step(name, count):
        if name not in tasks:
            source = {**sources, **own}.get(name.partition(",")[0]) or test
            tasks[name] = bar.add_task(f"{candidate.label}: {name}", total=source.num_images)
        bar.advance(tasks[name], count)

    return step


def _print_choices(entry):
    for name, choice in entry["choices"].items():
        chosen = ", ".join(
            f"{param} {value_text(value)}" for param, value in choice["chosen"].items()
        )
        console.print(
            f"{entry['label']}: {name} chose {chosen} on {choice['images']} and as many of "
            f"{', '.join(choice['outliers'])} each (FPR95 {100 * choice['fpr95']:.2f} % there)"
        )
