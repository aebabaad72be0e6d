"""`python train.py`: pretrains a classifier, fine-tunes it for OOD detection, or both."""

import dataclasses

import keras

from kerasood.commands.bases import load_base
from kerasood.commands.common import console, run_command
from kerasood.commands.description import describe
from kerasood.commands.planning import planned_runs, with_init_hash
from kerasood.commands.seed_table import print_seeds
from kerasood.config import TrainConfig
from kerasood.data.training_images import TrainingImages
from kerasood.errors import InvalidInputError
from kerasood.networks.saving import save_network
from kerasood.networks.wide_resnet import WideResNet
from kerasood.training import loop as training
from kerasood.training.margins import derived_margins


def main():
    """Entry point of the console script and of `train.py`."""
    run_command(TrainConfig, train)


def train(config):
    """Runs the stages of a TrainConfig for every seed, each in its own run directory.

    Args:
        config: TrainConfig.

    Returns:
        list of the Runs, one per seed and stage.

    Raises:
        ValueError: the configuration, the data or the base model does not fit.
    """
    runs = [with_init_hash(run) for run in planned_runs(config)]
    for run in runs:
        run.check(config.resume)
    stages = [run.config for run in runs if not run.complete]
    images = TrainingImages(config, stages) if stages else None
    done = [_run(run, images, config.resume) for run in runs]
    if config.seeds:
        print_seeds(done)
    return done


def _run(run, images, resume):
    console.print(f"[bold]{run.config.stage}[/] -> {run.path}")
    # Again: the base may have been trained a moment ago.
    run = with_init_hash(run)
    run.check(resume)
    if not run.complete:
        return _train_stage(run, images.of(run.config), resume)
    console.print("already complete: nothing to do")
    return run


def _train_stage(run, data, resume):
    keras.utils.set_random_seed(run.config.seed)
    network = _network(run.config, data)
    run = _with_margins(run, network, data)
    config = run.config
    trainer = training.build_trainer(network, config)
    # Not earlier, so that a mistake leaves no directory behind.
    run.start(resume, data.digests())
    if config.init and not run.initial_model.exists():
        save_network(network, run.initial_model)
    describe(config, data, network)
    verbose = 1 if console.is_terminal else 2
    training.fit(trainer, data, config, run, verbose)
    save_network(network, run.model)
    console.print(f"saved {run.model}")
    return run


def _with_margins(run, network, data):
    """The run with margins in numbers: those it was started with, else derived from its base."""
    config = run.config
    if config.margins is None or config.margin_in is not None:
        return run
    margin_in, margin_out = derived_margins(network, data.training[0], data.outliers)
    config = dataclasses.replace(config, margin_in=margin_in, margin_out=margin_out)
    return dataclasses.replace(run, config=config)


def _network(config, data):
    if config.init is None:
        return WideResNet(
            config.depth,
            config.width,
            data.num_classes,
            config.dropout,
            image_size=data.training[0].shape[1],
            dtype=config.precision,
        )
    network = load_base(config.init)
    _check_network(network, data, config.init)
    if isinstance(network, WideResNet):
        return network.with_dtype(config.precision, config.dropout)
    if config.dropout is not None:
        raise InvalidInputError(
            "Expected no --finetune_dropout for a model that is no WideResNet "
            f"({config.init}): it keeps its own. Received: {config.dropout:g}"
        )
    if config.precision != "float32":
        raise InvalidInputError(
            f"Expected --precision=float32 for a model that is no WideResNet ({config.init}): "
            f"its layers keep the types they were made with. Received: {config.precision}"
        )
    return network


def _check_network(network, data, init):
    images = data.training[0]
    expected = ((None, *images.shape[1:]), (None, data.num_classes))
    if (network.input_shape, network.output_shape) != expected:
        raise InvalidInputError(
            f"Expected a model from images {expected[0]} to logits {expected[1]}. Received: "
            f"{network.input_shape} to {network.output_shape} in {init}"
        )
