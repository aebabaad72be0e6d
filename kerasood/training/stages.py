"""Trains the runs of a TrainConfig: no flags, no console."""

import csv
import dataclasses

import keras

from kerasood.data.training_images import TrainingImages
from kerasood.logs import log
from kerasood.networks.saving import save_network
from kerasood.training import loop
from kerasood.training.description import description
from kerasood.training.initial_network import images_of_base, network_of
from kerasood.training.options import TrainConfig
from kerasood.training.planning import planned_runs, with_init_hash
from kerasood.training.run import Run
from kerasood.training.trainers import objective_named


def train(config: TrainConfig, verbose: int = 0) -> list[Run]:
    """Runs the stages of a TrainConfig for every seed, each in its own run directory.

    Progress is logged to the logger "kerasood".

    Args:
        config: TrainConfig, see `train_config`.
        verbose: 0, 1 or 2, of each epoch, as in `keras.Model.fit`.

    Returns:
        list of the Runs, one per seed and stage.

    Raises:
        ValueError: the configuration, the data or the base model does not fit.
    """
    runs = [with_init_hash(run) for run in planned_runs(config)]
    for run in runs:
        run.check(config.resume)
    stages = [run.config for run in runs if not run.complete]
    images = TrainingImages(config, stages, images_of_base(config)) if stages else None
    return [_run(run, images, config.resume, verbose) for run in runs]


def last_epoch(run):
    """The last row of a run's history: {quantity: float}."""
    with open(run.history, newline="", encoding="utf-8") as file:
        *_, row = csv.DictReader(file)
    return {name: float(value) for name, value in row.items()}


def _run(run, images, resume, verbose):
    log.info("%s -> %s", run.config.stage, run.path)
    # Again: the base may have been trained a moment ago.
    run = with_init_hash(run)
    run.check(resume)
    if not run.complete:
        return _train_stage(run, images.of(run.config), resume, verbose)
    log.info("already complete: nothing to do")
    return run


def _train_stage(run, data, resume, verbose=0):
    keras.utils.set_random_seed(run.config.seed)
    base = network_of(run.config, data)
    kind = objective_named(run.config.objective)
    network = kind.network_for(base, run.config.parameters)
    run = _with_derived(run, network, data)
    config = run.config
    trainer = loop.build_trainer(network, config)
    # Not earlier, so that a mistake leaves no directory behind.
    run.start(resume, data.digests())
    if config.init and not run.initial_model.exists():
        save_network(base, run.initial_model)
    log.info("%s", description(config, data, network))
    loop.fit(trainer, data, config, run, verbose)
    save_network(network, run.model)
    log.info("saved %s", run.model)
    return run


def _with_derived(run, network, data):
    """The run with what its objective derives from the base, unless it was started with it."""
    config = run.config
    if config.derived is not None:
        return run
    derived = objective_named(config.objective).derive(
        config.parameters, network, *data.training, data.outliers
    )
    if not derived:
        return run
    return dataclasses.replace(run, config=dataclasses.replace(config, derived=derived))
