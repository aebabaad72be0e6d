"""Run directories against OOD sets: every model once, results kept where the export finds them."""

import os
import pathlib
import typing
from collections.abc import Sequence

from kerasood.benchmarking.benchmark_result import Benchmark
from kerasood.benchmarking.evaluating import evaluate_subjects, num_choosing, progress_of
from kerasood.data.options import DEFAULTS, DataOptions
from kerasood.detectors.saving import save_detector
from kerasood.errors import InvalidInputError
from kerasood.evaluation.calibration import store_choice, store_thresholds
from kerasood.evaluation.measure import Settings
from kerasood.evaluation.ood_sets import open_sets, overlaps_with, own_sets
from kerasood.evaluation.run_subjects import compared_subjects, options_of_runs, seed_groups
from kerasood.files import check_writable
from kerasood.logs import log
from kerasood.runs import newest_run, open_run


def benchmark_runs(
    runs: Sequence[str] = (), ood_sets: typing.Any = "all", detectors: typing.Any = "all",
    settings: Settings | None = None, options: DataOptions = DEFAULTS, *, cache: bool = True,
    folder: str | os.PathLike | None = None, verbose: typing.Any = "auto",
) -> tuple[Benchmark, pathlib.Path]:
    """Evaluates the models of run directories, before and after fine-tuning, and keeps the report.

    Detectors and thresholds of the trained models stay in the run directories, for the export.

    Args:
        runs: paths of run directories or "zoo:NAME"; the newest below runs/ by default.
        ood_sets, detectors, verbose: see `benchmark`.
        settings: Settings.
        options: DataOptions.
        cache: whether outputs are kept in, and taken from, the run directories.
        folder: of the report; by default evaluation/ of the last run.

    Returns:
        (Benchmark, path of the HTML page).

    Raises:
        ValueError: a run, set or detector that does not exist.
    """
    settings = settings or Settings()
    runs = [open_run(path) for path in runs] or [newest_run()]
    dataset = _common_dataset(runs)
    options = options_of_runs(runs, options)
    folder = folder or runs[-1].evaluation
    check_writable(folder)
    log.info("runs: %s", ", ".join(str(run.path) for run in runs))
    sources, missing = open_sets(ood_sets, settings.protocol.set_names(dataset), options)
    _announce(runs, sources, missing)
    subjects, final_keys = compared_subjects(
        runs, options, cache=cache, seed=settings.seed,
        num_choosing=num_choosing(detectors, settings),
    )
    found = evaluate_subjects(
        subjects, dataset, sources, missing, detectors, settings,
        overlaps=lambda name: overlaps_with(runs, name), groups=seed_groups(runs, subjects),
        progress=progress_of(verbose), own_sets=own_sets(ood_sets),
    )
    page = found.report(folder)
    for run in runs:
        _keep(run, found, final_keys[run.path])
    if found.results.chosen:
        store_choice(runs[-1], found.results.chosen)
    return found, page


def announce_sets(sources, missing):
    """Says which OOD sets are at hand, and how to get the others."""
    log.info("OOD sets: %s", ", ".join(sources) or "none")
    for entry in missing:
        log.warning("not at hand: %s", entry["how_to_get"])


def _announce(runs, sources, missing):
    announce_sets(sources, missing)
    for name in sources:
        for line in overlaps_with(runs, name):
            log.warning("%s: %s", name, line)


def _common_dataset(runs):
    datasets = list(dict.fromkeys(run.config.dataset for run in runs))
    if len(datasets) > 1:
        raise InvalidInputError(
            f"Expected runs on one data set. Received: runs on {', '.join(datasets)}"
        )
    return datasets[0]


def _keep(run, found, key):
    """Leaves a run's fitted detectors and thresholds where the export finds them."""
    detectors = found.detectors[key]
    # A threshold knows its detector: whoever comes in between sees that they are of two fits.
    for name, detector in detectors.items():
        save_detector(run.detectors / f"{name}.npz", detector)
    store_thresholds(run, {
        entry["detector"]: (
            detectors[entry["detector"]], entry["threshold"], entry["calibrated_on"]
        )
        for entry in found.results.thresholds
        if entry["model"] == key
    })
