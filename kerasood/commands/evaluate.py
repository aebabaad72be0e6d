"""`python evaluate.py`: how well models tell in-distribution from OOD images."""

import datetime

from kerasood import protocols, reporting
from kerasood.commands.candidates import compared_candidates
from kerasood.commands.common import choose, console, progress_bar, run_command
from kerasood.config import EvaluateConfig
from kerasood.data import registry
from kerasood.data.sources import availability, open_source
from kerasood.detectors import DETECTORS
from kerasood.detectors.saving import save_detector
from kerasood.evaluation import Settings, evaluate_candidate
from kerasood.files import check_writable, read_json, write_json
from kerasood.models.extractor import output_names
from kerasood.runs import Run, command_line, git_commit, newest_run, versions


def main():
    """Entry point of the console script and of `evaluate.py`."""
    run_command(EvaluateConfig, evaluate)


def evaluate(config):
    """Evaluates the runs of an EvaluateConfig and writes the report.

    Args:
        config: EvaluateConfig.

    Returns:
        (results, path of the HTML page).

    Raises:
        ValueError: a run, set, detector or protocol that does not exist.
    """
    runs = [Run.open(path) for path in config.run] or [newest_run()]
    dataset = _common_dataset(runs)
    names = _detector_names(config.detectors)
    protocol = protocols.find(config.protocol)
    where = {"data_dir": config.data_dir, "download": config.download}
    wanted, missing = _wanted_sets(config, dataset)
    folder = config.out or runs[-1].evaluation
    check_writable(folder)
    console.print(f"runs: {', '.join(str(run.path) for run in runs)}")
    console.print(f"OOD sets: {', '.join(wanted) or 'none'}")
    for entry in missing:
        console.print(f"not at hand: {entry['how_to_get']}", style="yellow", markup=False)
    if not wanted:
        raise ValueError("Expected at least one OOD set that is at hand. Received: none")
    test = open_source(dataset, "test", strict=config.strict, **where)
    if test.num_classes is None:
        raise ValueError(f"Expected labelled test images. Received: {dataset} without labels")
    sources = {
        name: open_source(path, "ood", strict=config.strict, **where)
        for name, path in wanted.items()
    }
    candidates, final_keys = compared_candidates(runs, where, config.cache)
    settings = Settings(
        detectors=_usable_detectors(names, candidates, config.detectors == ("all",)),
        protocol=protocol,
        tpr=config.tpr,
        seed=config.seed,
        batch_size=config.batch_size,
        tune=config.tune,
        validation_images=config.validation_images,
    )
    _announce_gradients(settings)
    evaluated = _evaluate_all(candidates, test, sources, settings)
    results = {
        **_header(config, dataset, test, settings),
        "sets": [_set_entry(name, dataset, sources[name], test, settings) for name in sources],
        "missing": missing,
        **_joined(evaluated),
    }
    results["means"] = protocols.means_by_role(results["metrics"], results["sets"])
    scores = {key: values for each in evaluated.values() for key, values in each.scores.items()}
    page = reporting.write_report(results, scores, folder)
    for run in runs:
        _keep(run, evaluated[final_keys[run.path]])
    reporting.print_summary(results)
    console.print(f"report: {page}")
    return results, page


def _common_dataset(runs):
    datasets = list(dict.fromkeys(run.config.dataset for run in runs))
    if len(datasets) > 1:
        raise ValueError(
            f"Expected runs on one data set. Received: runs on {', '.join(datasets)}"
        )
    return datasets[0]


def _detector_names(names):
    if names == ("all",):
        return tuple(DETECTORS)
    return tuple(choose("detector", name, DETECTORS) for name in names)


def _wanted_sets(config, dataset):
    """Returns {name: name or path} of the sets at hand, and the entries of the missing ones."""
    wanted, missing = {}, []
    for item in config.ood:
        if item == "all":
            for name in registry.ood_names(dataset):
                lack = availability(name, "ood", config.data_dir, config.download)
                if lack is None:
                    wanted[name] = name
                else:
                    spec = registry.DATASETS[name]
                    missing.append({"name": name, "title": spec.title, "how_to_get": lack})
            continue
        name, _, path = item.partition("=")
        if name == "in" or wanted.get(name, path or name) != (path or name):
            raise ValueError(
                f"Expected every OOD set under a name of its own, other than 'in'. Received: {item}"
            )
        lack = availability(path or name, "ood", config.data_dir, config.download)
        if lack is not None:
            raise ValueError(f"Expected an OOD set that is at hand. Received: {lack}")
        wanted[name] = path or name
    return wanted, missing


def _usable_detectors(names, candidates, all_wanted):
    """{name: Detector} without those of "all" that these models cannot have, which are named."""
    usable = {name: DETECTORS[name]() for name in names}
    if not all_wanted:
        return usable
    lacking = {
        "training images are not at hand": lambda detector, model: (
            detector.learns and model.training is None
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


def _announce_gradients(settings):
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


def _evaluate_all(candidates, test, sources, settings):
    """{candidate key: Evaluated}."""
    evaluated = {}
    with progress_bar() as bar:
        for candidate in candidates:
            tasks = {}

            def step(name, count, tasks=tasks, candidate=candidate):
                if name not in tasks:
                    own = {"calibration": candidate.calibration, "train": candidate.training}
                    source = {**sources, **own}.get(name.partition(",")[0]) or test
                    title = f"{candidate.label}: {name}"
                    tasks[name] = bar.add_task(title, total=source.num_images)
                bar.advance(tasks[name], count)

            evaluated[candidate.key] = evaluate_candidate(candidate, test, sources, settings, step)
            _print_choices(evaluated[candidate.key].entry)
    return evaluated


def _print_choices(entry):
    for name, choice in entry["choices"].items():
        chosen = ", ".join(f"{param} {value:g}" for param, value in choice["chosen"].items())
        console.print(
            f"{entry['label']}: {name} chose {chosen} on {choice['images']} and as many of "
            f"{', '.join(choice['outliers'])} each (FPR95 {choice['fpr95']:.2%} there)"
        )


def _joined(evaluated):
    parts = list(evaluated.values())
    return {
        "models": [part.entry for part in parts],
        "metrics": [entry for part in parts for entry in part.metrics],
        "thresholds": [entry for part in parts for entry in part.calibrated],
        "images": {key: part.images for key, part in evaluated.items()},
    }


def _set_entry(name, dataset, source, test, settings):
    spec = registry.DATASETS.get(name)
    notes = [settings.protocol.note(test.num_images, source.num_images)]
    if spec is not None and spec.stand_in_for:
        notes.append(f"stand-in for {spec.stand_in_for}, not that set")
    if source.skipped:
        notes.append(f"{len(source.skipped)} unreadable files left out")
    return {
        "name": name,
        "title": spec.title if spec is not None else name,
        "role": registry.role(name, dataset),
        "num_images": source.num_images,
        "note": "; ".join(note for note in notes if note),
    }


def _header(config, dataset, test, settings):
    spec = registry.DATASETS.get(dataset)
    title = spec.title if spec is not None else dataset
    protocol = settings.protocol
    names = tuple(settings.detectors)
    return {
        "title": f"OOD detection on {title}",
        "dataset": {
            "name": dataset, "title": title, "split": "test", "num_images": test.num_images
        },
        "protocol": {
            "name": protocol.name,
            "description": protocol.description,
            "convention": protocol.convention,
        },
        "detectors": list(names),
        "primary": "energy" if "energy" in names else names[0],
        "command": command_line(),
        "commit": git_commit(),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seed": config.seed,
    }


def _keep(run, evaluated):
    """Leaves a run's thresholds and fitted detectors where the export finds them."""
    kept = {
        entry["detector"]: {
            "threshold": entry["threshold"], "calibrated_on": entry["calibrated_on"]
        }
        for entry in evaluated.calibrated
    }
    for name, detector in evaluated.detectors.items():
        save_detector(run.detectors / f"{name}.npz", detector, DETECTORS)
    stored = read_json(run.thresholds) if run.thresholds.exists() else {}
    write_json(run.thresholds, {**stored, **kept})
