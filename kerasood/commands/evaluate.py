"""`python evaluate.py`: how well models tell in-distribution from OOD images."""

from kerasood import reporting
from kerasood.commands.candidates import compared_candidates, seed_groups
from kerasood.commands.common import console, run_command
from kerasood.commands.measuring import (
    announce_gradients,
    detector_names,
    measure,
    open_test,
    results_of,
    settings_of,
    usable_detectors,
)
from kerasood.commands.ood_sets import open_sets, overlaps_with, set_entry, wanted_sets
from kerasood.commands.suite import suite
from kerasood.commands.zoo_runs import open_run
from kerasood.config import EvaluateConfig
from kerasood.detectors.saving import save_detector
from kerasood.errors import InvalidInputError
from kerasood.evaluation import protocols
from kerasood.files import check_writable, read_json, write_json
from kerasood.reporting.seeds import over_seeds
from kerasood.runs import newest_run


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
    if config.suite:
        return suite(config)
    runs = [open_run(path) for path in config.run] or [newest_run()]
    dataset = _common_dataset(runs)
    names = detector_names(config.detectors)
    protocol = protocols.find(config.protocol or "full")
    wanted, missing = wanted_sets(config, protocol.set_names(dataset))
    folder = config.out or runs[-1].evaluation
    check_writable(folder)
    _announce(runs, wanted, missing)
    test = open_test(config, dataset)
    sources = open_sets(config, wanted)
    candidates, final_keys = compared_candidates(runs, config.data, config.cache)
    detectors = usable_detectors(names, candidates, config.detectors == ("all",), config.tune)
    settings = settings_of(config, detectors, protocol)
    announce_gradients(settings)
    evaluated = measure(candidates, test, sources, settings)
    results = results_of(config, dataset, test, settings, evaluated)
    results["sets"] = [
        set_entry(name, source, dataset, test.num_images, protocol, overlaps_with(runs, name))
        for name, source in sources.items()
    ]
    results["missing"] = missing
    results["means"] = protocols.means_by_role(results["metrics"], results["sets"])
    results["seeds"] = over_seeds(results, seed_groups(runs, candidates))
    scores = {key: values for each in evaluated.values() for key, values in each.scores.items()}
    page = reporting.write_report(results, scores, folder, {"in": test, **sources})
    for run in runs:
        _keep(run, evaluated[final_keys[run.path]])
    reporting.print_summary(results)
    console.print(f"report: {page}")
    return results, page


def _common_dataset(runs):
    datasets = list(dict.fromkeys(run.config.dataset for run in runs))
    if len(datasets) > 1:
        raise InvalidInputError(
            f"Expected runs on one data set. Received: runs on {', '.join(datasets)}"
        )
    return datasets[0]


def _announce(runs, wanted, missing):
    console.print(f"runs: {', '.join(str(run.path) for run in runs)}")
    console.print(f"OOD sets: {', '.join(wanted) or 'none'}")
    for entry in missing:
        console.print(f"not at hand: {entry['how_to_get']}", style="yellow", markup=False)
    if not wanted:
        raise InvalidInputError("Expected at least one OOD set that is at hand. Received: none")
    for name in wanted:
        for line in overlaps_with(runs, name):
            console.print(f"{name}: {line}", style="red", markup=False)


def _keep(run, evaluated):
    """Leaves a run's thresholds and fitted detectors where the export finds them."""
    kept = {
        entry["detector"]: {
            "threshold": entry["threshold"], "calibrated_on": entry["calibrated_on"]
        }
        for entry in evaluated.calibrated
    }
    stored = read_json(run.thresholds) if run.thresholds.exists() else {}
    others = {name: entry for name, entry in stored.items() if name not in kept}
    # A detector beside the threshold of another fit would mislead whoever comes in between.
    write_json(run.thresholds, others)
    for name, detector in evaluated.detectors.items():
        save_detector(run.detectors / f"{name}.npz", detector)
    write_json(run.thresholds, {**others, **kept})
