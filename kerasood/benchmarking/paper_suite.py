"""The paper's tables and figures, measured on trained models, beside its own numbers."""

import pathlib

from kerasood.benchmarking.evaluating import evaluate_subjects, num_choosing, progress_of
from kerasood.benchmarking.run_directories import announce_sets
from kerasood.data.options import DEFAULTS
from kerasood.detectors import build
from kerasood.errors import InvalidInputError
from kerasood.evaluation.ood_sets import at_hand_or_missing, overlaps_with
from kerasood.evaluation.results import provenance
from kerasood.evaluation.run_subjects import recipe_of, subjects_of_run
from kerasood.evaluation.subject import open_labelled
from kerasood.files import check_writable
from kerasood.logs import log
from kerasood.networks.fingerprint import model_hash
from kerasood.reporting import write_paper
from kerasood.reporting.paper import DETECTORS, averaged, compare, stand_ins
from kerasood.reporting.paper_numbers import DATASETS, SETS
from kerasood.runs import base_config, complete_runs, open_run
from kerasood.training.trainers import OBJECTIVES, CrossEntropyTraining

FOLDER = "runs/paper-suite"


def paper_suite(runs=(), settings=None, options=DEFAULTS, *, cache=True, folder=None, verbose=0):
    """Measures the paper's Tables 1 and 2 and its Figures 2 and 3 on trained models.

    Args:
        runs: paths of fine-tunes or "zoo:NAME"; by default the newest sparsity fine-tune on each
            of the paper's data sets.
        settings: Settings, with the paper's protocol.
        options: DataOptions.
        cache: whether outputs are kept in, and taken from, the run directories.
        folder: of the report.
        verbose: see `benchmark`.

    Returns:
        (results: JSON values, path of the HTML page).

    Raises:
        ValueError: a run that is no fine-tune on CIFAR-10 or CIFAR-100, or no test images or none
            of the paper's sets at hand.
    """
    runs = [_checked(open_run(path)) for path in runs] or _newest_fine_tunes()
    folder = pathlib.Path(folder or FOLDER)
    check_writable(folder)
    log.info("runs: %s", ", ".join(str(run.path) for run in runs))
    without = _data_sets_without(runs)
    tests, lacking = _tests(runs, options)
    without += lacking
    for entry in without:
        log.warning("%s: %s: %s", entry["dataset"], entry["lack"], entry["how_to_get"])
    runs = [run for run in runs if run.config.dataset in tests]
    sources, missing = _sets(options)
    progress, measured_bases, sections, scores = progress_of(verbose), {}, [], []
    for run in runs:
        subjects = subjects_of_run(
            run, options, cache, tests[run.config.dataset],
            num_choosing(DETECTORS, settings), settings.seed,
        )
        section, of_section = _section(run, subjects, sources, settings, measured_bases, progress)
        sections.append({**section, "missing": missing, "comparison": compare(section)})
        scores.append(of_section)
    results = {
        "suite": "paper",
        "sections": sections,
        "averaged": [
            averaged([sections[index] for index in same]) for same in _of_one_recipe(runs)
        ],
        "not_measured": without,
        "missing": missing,
        **provenance(settings.seed),
    }
    return results, write_paper(results, scores, folder)


def _section(run, subjects, sources, settings, measured_bases, progress):
    """Results and scores of one fine-tune and its base; a base that runs share is measured once."""
    base, tuned = subjects[0], subjects[1].replace(key="tuned")
    shared = run.config.dataset, model_hash(base.extractor) or str(run.path)
    known = {base.key: measured_bases[shared]} if shared in measured_bases else {}
    for name in sources:
        for line in overlaps_with([run], name):
            log.warning("%s: %s", name, line)
    # One that was registered elsewhere may not be known here.
    own = OBJECTIVES.get(run.config.objective, CrossEntropyTraining).scored_by
    found = evaluate_subjects(
        [base, tuned], run.config.dataset, sources, [],
        {name: build(name) for name in (*DETECTORS, own)}, settings,
        detectors_of={base.key: DETECTORS, tuned.key: tuple(dict.fromkeys(("energy", own)))},
        overlaps=lambda name: overlaps_with([run], name),
        # Not of the paper's sets: kept out of every mean.
        roles={name: "other" for name in sources if name not in SETS},
        known=known, progress=progress,
    )
    measured_bases[shared] = known[base.key]
    recipe = _how_it_was_trained(run, tuned.extractor)
    results = {
        **found.results.to_json(),
        "run": str(run.path),
        "base": shared[1],
        "scored_by": own,
        "recipe": recipe,
        "trained": f"{recipe}, seed {run.config.seed}",
    }
    return results, found.scores


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
    run.check_complete()
    if not _is_fine_tune(run):
        raise InvalidInputError(
            "Expected a fine-tune that keeps the model it started from, to compare before and "
            f"after. Received: {run.path}"
        )
    return run


def _is_fine_tune(run):
    return run.config.stage == "finetune" and run.initial_model.exists()


def _newest_fine_tunes(root="runs"):
    """The newest complete sparsity fine-tune on each of the paper's data sets.

    Raises:
        ValueError: there is none at all.
    """
    newest = {}
    for run in complete_runs(root):
        if run.config.objective == "sparsity" and _is_fine_tune(run):
            newest.setdefault(run.config.dataset, run)
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


def _tests(runs, options):
    """({data set: ImageSource} of the test images at hand, entries of the data sets without).

    Raises:
        ValueError: none are at hand.
    """
    tests, lacking = {}, []
    for dataset in dict.fromkeys(run.config.dataset for run in runs):
        try:
            tests[dataset] = open_labelled(dataset, options=options)
        except OSError as error:
            entry = {"dataset": dataset, "lack": "no test images", "how_to_get": str(error)}
            lacking.append(entry)
    if not tests:
        raise InvalidInputError(
            "Expected the test images of a data set with runs. Received: none at hand; "
            + "; ".join(entry["how_to_get"] for entry in lacking)
        )
    return tests, lacking


def _sets(options):
    """The paper's sets at hand, stand-ins for those that are not, and what is missing.

    Raises:
        ValueError: none is at hand.
    """
    at_hand, missing = at_hand_or_missing(SETS, options)
    others = [other for entry in missing for other in stand_ins(entry["name"])]
    replacing, _ = at_hand_or_missing(others, options)
    announce_sets({**at_hand, **replacing}, missing)
    if not at_hand:
        raise InvalidInputError(
            "Expected at least one of the paper's OOD sets at hand. Received: none"
        )
    return {**at_hand, **replacing}, missing


def _of_one_recipe(runs):
    """Lists of positions of runs that differ in the seed alone, where there are several."""
    positions = {}
    for position, run in enumerate(runs):
        positions.setdefault(recipe_of(run.config), []).append(position)
    return [same for same in positions.values() if len(same) > 1]


def _command(dataset):
    return f"python train.py --stage=all --dataset={dataset}"


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
