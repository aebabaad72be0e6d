"""`python evaluate.py`: how well models tell in-distribution from OOD images."""

import pathlib

from kerasood import reporting
from kerasood.benchmarking import benchmark, benchmark_runs
from kerasood.benchmarking.paper_suite import paper_suite
from kerasood.commands.common import console, image_progress
from kerasood.errors import InvalidInputError
from kerasood.evaluation.measure import Settings
from kerasood.evaluation.ood_sets import named_sets
from kerasood.extractor.preprocessing import preprocessing_from
from kerasood.files import check_writable
from kerasood.names import short_name
from kerasood.networks.saving import load_network
from kerasood.reporting.paper import DETECTORS


def evaluate(config):
    """Evaluates the runs of an EvaluateConfig, writes the report and prints its summary.

    Args:
        config: EvaluateConfig.

    Returns:
        (results: JSON values, path of the HTML page).

    Raises:
        ValueError: a run, set, detector or protocol that does not exist, or a flag that
            contradicts the paper's suite.
    """
    config.check_own_model()
    if config.suite:
        _check_suite_flags(config)
    settings = Settings(
        "paper" if config.suite else config.protocol or "full", config.tpr, config.seed,
        config.batch_size, config.tune, config.validation_images,
    )
    with image_progress() as progress:
        ways = {"cache": config.cache, "folder": config.out, "verbose": progress}
        if config.suite:
            results, page = paper_suite(config.run, settings, config.data, **ways)
        else:
            measure = _model if config.model else _runs
            found, page = measure(config, named_sets(config.ood), settings, ways)
            results = found.results.to_json()
    (reporting.print_paper if config.suite else reporting.print_summary)(results)
    console.print(f"report: {page}")
    return results, page


def _runs(config, sets, settings, ways):
    return benchmark_runs(config.run, sets, config.detectors, settings, config.data, **ways)


def _model(config, sets, settings, ways):
    """(Benchmark, path of the HTML page) of a model that comes as a file."""
    name = pathlib.Path(config.model).stem
    folder = pathlib.Path(config.out or f"runs/{name}-{short_name(config.dataset)}")
    check_writable(folder)
    found = benchmark(
        {name: load_network(config.model)}, config.dataset, sets, config.detectors,
        preprocessing=preprocessing_from(config.preprocessing, config.resizing, config.antialias),
        class_names=config.class_names or None,
        cache=folder / "outputs" if config.cache else None,
        verbose=ways["verbose"],
        data_dir=config.data_dir, download=config.download, strict=config.strict,
        **vars(settings),
    )
    return found, found.report(folder)


def _check_suite_flags(config):
    allowed = {
        "protocol": (None, "paper"),
        "model": (None,),
        "ood": (("all",),),
        "detectors": (("all",), DETECTORS),
    }
    for name, values in allowed.items():
        received = getattr(config, name)
        if received not in values:
            received = received if isinstance(received, str) else ",".join(received)
            raise InvalidInputError(
                f"Expected no --{name} with --suite=paper, which has its own. "
                f"Received: --{name}={received}"
            )
