"""Trains one stage into its run directory, an epoch at a time."""

import concurrent.futures
import importlib.util

import keras

from kerasood.files import write_text
from kerasood.training import checkpoints, resident
from kerasood.training.batches import Batches
from kerasood.training.callbacks import (
    BeginEpoch,
    KeepEveryEpoch,
    LogProgress,
    StopOnNaN,
    history_to_csv,
)
from kerasood.training.trainers import objective_named

HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None


def build_trainer(network, config):
    """Wraps `network` in the objective and augmentation of a StageConfig.

    Args:
        network: keras.Model, images -> logits or probabilities.
        config: StageConfig.

    Returns:
        An uncompiled trainer from `OBJECTIVES`.
    """
    return objective_named(config.objective)(
        network, augmentation=config.augmentation(config.seed), **config.objective_parameters
    )


def fit(trainer, data, config, run, verbose=1):
    """Trains until `config.epochs` and keeps the state of every finished epoch.

    Continues after the last finished epoch where `run` has a checkpoint, and then ends at the
    same weights as an uninterrupted run: order, augmentation and dropout follow from the seed.

    Args:
        trainer: model of `build_trainer`.
        data: TrainingData, with outliers for the objectives that train on them.
        config: StageConfig.
        run: Run whose directory receives checkpoint, history and TensorBoard logs.
        verbose: 0, 1 or 2 as in `keras.Model.fit`; 2 also logs within long epochs.

    Returns:
        list of one dict of floats per epoch.

    Raises:
        TrainingDiverged: the loss became NaN or infinite; the last checkpoint stays.
    """
    batches = prepare(
        trainer,
        Batches(*data.training, config.batch_size, config.seed, data.outliers, type(trainer)),
        config,
    )
    history = []
    if run.checkpoint.exists():
        history = checkpoints.load_state(run.checkpoint, trainer)
        write_text(run.history, history_to_csv(history))
    if len(history) >= config.epochs:
        return history
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        train(
            trainer, batches, data.outliers,
            epochs=config.epochs,
            initial_epoch=len(history),
            validation_data=data.validation,
            validation_batch_size=config.batch_size,
            callbacks=[
                StopOnNaN(run.checkpoint),
                KeepEveryEpoch(run, history, thread),
                *([LogProgress()] if verbose == 2 else []),
                *_tensorboard(run),
            ],
            verbose=verbose,
        )
    return history


def prepare(trainer, batches, recipe, **compile_arguments):
    """Compiles a trainer with a recipe's optimiser over all its steps and builds it.

    On JAX the images stay on the device where they fit, see `kerasood.training.resident`. On
    other backends, and where they do not fit, batches are sent one by one, the next while a step
    runs.

    Args:
        trainer: model of `build_trainer`.
        batches: Batches.
        recipe: Recipe.
        **compile_arguments: for `trainer.compile`.

    Returns:
        What `train` takes as its batches.
    """
    steps = len(batches)
    trainer.begin_training(batches)
    arrays = resident.resident_arrays(batches)
    steps_per_call = 1 if arrays is None else resident.steps_per_call(steps)
    trainer.compile(
        recipe.optimizer(steps), steps_per_execution=steps_per_call, **compile_arguments
    )
    trainer(batches.images[:1])
    trainer.optimizer.build(trainer.trainable_variables)
    if arrays is None:
        return batches
    trainer.train_function = resident.train_function(trainer, arrays)
    return resident.RowCalls(batches, steps_per_call)


def train(trainer, batches, outliers=None, callbacks=(), **arguments):
    """Runs `trainer.fit` over prepared batches, each epoch in its own order.

    Args:
        trainer: compiled trainer.
        batches: of `prepare`.
        outliers: (M, H, W, C) uint8 or None.
        callbacks: Keras callbacks.
        **arguments: of `keras.Model.fit`.

    Returns:
        keras.callbacks.History.
    """
    history = trainer.fit(
        batches,
        callbacks=[BeginEpoch(trainer, batches, outliers), *callbacks],
        shuffle=False,
        **arguments,
    )
    # It may hold images on the device, which the next stage needs room for.
    trainer.train_function = None
    return history


def _tensorboard(run):
    if not HAS_TENSORFLOW:
        return []
    return [keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False)]
