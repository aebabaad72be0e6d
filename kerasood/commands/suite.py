"""`python evaluate.py --suite=paper`: the paper's tables and figures, measured, beside its own."""

import dataclasses
import pathlib

from kerasood.commands.bases import base_config
from kerasood.commands.candidates import check_complete, recipe_of, run_candidates
from kerasood.commands.common import console
from kerasood.commands.measuring import (
    announce_gradients,
    measure,
    open_test,
    provenance,
    results_of,
    settings_of,
    usable_detectors,
)
from kerasood.commands.ood_sets import at_hand_or_missing, open_sets, overlaps_with, set_entry
from kerasood.commands.zoo_runs import open_run
from kerasood.errors import InvalidInputError
from kerasood.evaluation import protocols
from kerasood.files import check_writable
from kerasood.networks.fingerprint import model_hash
from kerasood.reporting.paper import DETECTORS, compare, stand_ins
from kerasood.reporting.paper_numbers import DATASETS, SETS
from kerasood.reporting.paper_report import print_paper, write_paper
from kerasood.reporting.paper_seeds import averaged
from kerasood.runs import Run, complete_models

FOLDER = "runs/paper-suite"


def suite(config):
    """Measures the paper's Tables 1 and 2 and its Figures 2 and 3 on trained models.

    Args:
        config: EvaluateConfig with suite="paper".

    Returns:
        (results, path of the HTML page).

    Raises:
        ValueError: a flag that contradicts the suite, a run that is no fine-tune on CIFAR-10 or
            CIFAR-100, or no test images or none of the paper's sets at hand.
    """
    _check_flags(config)
    runs = [_checked(open_run(path)) for path in config.run] or _newest_fine_tunes()
    folder = pathlib.Path(config.out or FOLDER)
    check_writable(folder)
    console.print(f"runs: {', '.join(str(run.path) for run in runs)}")
    without = _data_sets_without(runs)
    tests, lacking = _tests(config, runs)
    without += lacking
    for entry in without:
        console.print(
            f"{entry['dataset']}: {entry['lack']}: {entry['how_to_get']}",
            style="yellow", markup=False,
        )
    runs = [run for run in runs if run.config.dataset in tests]
    wanted, missing = _wanted_sets(config)
    sections, scores, bases = [], [], {}
    for run in runs:
        test = tests[run.config.dataset]
        results, of_section = _section(config, run, test, open_sets(config, wanted), bases)
        sections.append({**results, "missing": missing, "comparison": compare(results)})
        scores.append(of_section)
    results = {
        "suite": "paper",
        "sections": sections,
        "averaged": [
            averaged([sections[place] for place in places]) for places in _of_one_recipe(runs)
        ],
        "not_measured": without,
        "missing": missing,
        **provenance(config),
    }
    page = write_paper(results, scores, folder)
    print_paper(results)
    console.print(f"report: {page}")
    return results, page


def _check_flags(config):
    allowed = {
        "protocol": (None, "paper"),
        "ood": (("all",),),
        "detectors": (("all",), DETECTORS),
    }
    for name, values in allowed.items():
        if getattr(config, name) not in values:
            received = getattr(config, name)
            received = received if isinstance(received, str) else ",".join(received)
            raise InvalidInputError(
                f"Expected no --{name} with --suite=paper, which has its own. "
                f"Received: --{name}={received}"
            )


def _checked(run):
    """A run that the suite can compare with the paper.

    Raises:
        ValueError: it is on other data, not finished, or no fine-tune with the model that it
            started from.
    """
    if run.config.dataset not in DATASETS:
        raise InvalidInputError(
            f"Expected runs on {' or '.join(DATASETS)}, the paper's data sets. "
            f"Received: {run.path} on {run.config.dataset}"
        )
    check_complete(run)
    if run.config.stage != "finetune" or not run.initial_model.exists():
        raise InvalidInputError(
            "Expected a fine-tune that keeps the model it started from, to compare before and "
            f"after. Received: {run.path}"
        )
    return run


def _newest_fine_tunes(root="runs"):
    """The newest complete sparsity fine-tune on each of the paper's data sets.

    Raises:
        ValueError: there is none at all.
    """
    newest = {}
    for path in complete_models(root):
        if not (path.parent / "config.json").is_file():
            continue
        run = Run.open(path.parent)
        if run.config.objective == "sparsity" and run.initial_model.exists():
            newest[run.config.dataset] = run
    found = [newest[name] for name in DATASETS if name in newest]
    if not found:
        raise InvalidInputError(
            f"No complete sparsity fine-tune on {' or '.join(DATASETS)} under {root}/: train one "
            f"with `{_command(DATASETS[0])}`, or name one with --run."
        )
    return found


def _data_sets_without(runs):
    have = {run.config.dataset for run in runs}
    return [
        {"dataset": name, "lack": "no run", "how_to_get": f"make one with `{_command(name)}`"}
        for name in DATASETS
        if name not in have
    ]


def _tests(config, runs):
    """({data set: ImageSource} of the test images at hand, entries of the data sets without).

    Raises:
        ValueError: none are at hand.
    """
    tests, lacking = {}, []
    for dataset in dict.fromkeys(run.config.dataset for run in runs):
        try:
            tests[dataset] = open_test(config, dataset)
        except OSError as error:
            entry = {"dataset": dataset, "lack": "no test images", "how_to_get": str(error)}
            lacking.append(entry)
    if not tests:
        raise InvalidInputError(
            "Expected the test images of a data set with runs. Received: none at hand; "
            + "; ".join(entry["how_to_get"] for entry in lacking)
        )
    return tests, lacking


def _of_one_recipe(runs):
    """Lists of positions of runs that differ in the seed alone, where there are several."""
    places = {}
    for place, run in enumerate(runs):
        places.setdefault(recipe_of(run.config), []).append(place)
    return [same for same in places.values() if len(same) > 1]


def _command(dataset):
    return f"python train.py --stage=all --dataset={dataset}"


def _wanted_sets(config):
    """The paper's sets at hand, stand-ins for those that are not, and what is missing.

    Raises:
        ValueError: none is at hand.
    """
    at_hand, missing = at_hand_or_missing(config, SETS)
    others = [other for entry in missing for other in stand_ins(entry["name"])]
    replacing, _ = at_hand_or_missing(config, others)
    console.print(f"OOD sets: {', '.join((*at_hand, *replacing)) or 'none'}")
    for entry in missing:
        console.print(f"not at hand: {entry['how_to_get']}", style="yellow", markup=False)
    if not at_hand:
        raise InvalidInputError(
            "Expected at least one of the paper's OOD sets at hand. Received: none"
        )
    return {name: name for name in (*at_hand, *replacing)}, missing


def _section(config, run, test, sources, bases):
    """Results and scores of one fine-tune and its base; a base that runs share is measured once."""
    base, tuned = run_candidates(run, config.data, config.cache)
    tuned = dataclasses.replace(tuned, key="tuned")
    protocol = protocols.find("paper")
    detectors = usable_detectors(DETECTORS, [base], True, config.tune)
    settings = settings_of(config, detectors, protocol)
    detectors_of = {base.key: tuple(settings.detectors), tuned.key: ("energy",)}
    shared = run.config.dataset, model_hash(base.extractor) or str(run.path)
    if shared not in bases:
        announce_gradients(settings)
        bases[shared] = measure([base], test, sources, settings, detectors_of)[base.key]
    evaluated = {
        base.key: bases[shared], **measure([tuned], test, sources, settings, detectors_of)
    }
    results = results_of(config, run.config.dataset, test, settings, evaluated)
    results["run"] = str(run.path)
    results["base"] = shared[1]
    results["recipe"] = _how_it_was_trained(run, tuned.extractor)
    results["trained"] = f"{results['recipe']}, seed {run.config.seed}"
    results["sets"] = [_entry(run, name, source, test) for name, source in sources.items()]
    results["means"] = protocols.means_by_role(results["metrics"], results["sets"])
    scores = {key: values for each in evaluated.values() for key, values in each.scores.items()}
    return results, scores


def _how_it_was_trained(run, extractor):
    """Network and epochs, to set beside the paper's: one line."""
    base = base_config(run.config)
    parts = [f"{extractor.count_params():,} parameters"]
    if base is not None:
        if base.depth:
            parts = [f"WRN-{base.depth}-{base.width}"]
        parts.append(f"epochs of pretraining: {base.epochs}")
    parts.append(f"epochs of fine-tuning: {run.config.epochs}")
    return ", ".join(parts)


def _entry(run, name, source, test):
    protocol, overlaps = protocols.find("paper"), overlaps_with([run], name)
    entry = set_entry(name, source, run.config.dataset, test.num_images, protocol, overlaps)
    for line in overlaps:
        console.print(f"{name}: {line}", style="red", markup=False)
    # Not of the paper's sets: kept out of every mean.
    return entry if name in SETS else {**entry, "role": "other"}
