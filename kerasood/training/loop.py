"""Trains one stage into its run directory, an epoch at a time."""

import concurrent.futures
import csv
import functools
import importlib.util
import io
import math

import keras
import numpy as np

from kerasood.errors import KerasoodError
from kerasood.files import write_text
from kerasood.networks.augmentation import RandomCropFlip
from kerasood.training import checkpoints, resident
from kerasood.training.optimizers import NesterovSGD, cosine_schedule
from kerasood.training.order import array_batches, paired_batches, steps_per_epoch
from kerasood.training.trainers.fine_tuning import OBJECTIVES

HAS_TENSORFLOW = importlib.util.find_spec("tensorflow") is not None


class TrainingDiverged(KerasoodError, ArithmeticError):
    """The loss is no longer a finite number."""


def build_trainer(network, config):
    """Wraps `network` in the objective, augmentation and optimiser of a StageConfig.

    Args:
        network: keras.Model, images -> logits.
        config: StageConfig.

    Returns:
        An uncompiled trainer from `OBJECTIVES`.
    """
    augmentation = None
    if config.crop or config.flip:
        augmentation = RandomCropFlip(config.crop, config.flip, seed=config.seed)
    values = {name: getattr(config, name) for name in ("weight", "site", "margin_in", "margin_out")}
    arguments = {name: value for name, value in values.items() if value is not None}
    return OBJECTIVES[config.objective](network, augmentation=augmentation, **arguments)


def fit(trainer, data, config, run, verbose=1):
    """Trains until `config.epochs` and keeps the state of every finished epoch.

    Continues after the last finished epoch where `run` has a checkpoint, and then ends at the
    same weights as an uninterrupted run: order, augmentation and dropout follow from the seed.

    Args:
        trainer: model of `build_trainer`.
        data: TrainingData, with outliers for the objectives that train on them.
        config: StageConfig.
        run: Run whose directory receives checkpoint, history and TensorBoard logs.
        verbose: 0, 1 or 2 as in `keras.Model.fit`.

    Returns:
        list of one dict of floats per epoch.

    Raises:
        TrainingDiverged: the loss became NaN or infinite; the last checkpoint stays.
    """
    batches = prepare(trainer, data, config)
    history = []
    if run.checkpoint.exists():
        history = checkpoints.load_state(run.checkpoint, trainer)
        write_text(run.history, _to_csv(history))
    if len(history) >= config.epochs:
        return history
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        trainer.fit(
            batches(len(history), config.epochs),
            epochs=config.epochs,
            initial_epoch=len(history),
            steps_per_epoch=steps_per_epoch(len(data.training[0]), config.batch_size),
            validation_data=data.validation,
            validation_batch_size=config.batch_size,
            callbacks=[StopOnNaN(run), KeepEveryEpoch(run, history, thread), *_tensorboard(run)],
            shuffle=False,
            verbose=verbose,
        )
    # It may hold images on the device, which the next stage needs room for.
    trainer.train_function = None
    return history


def prepare(trainer, data, config):
    """Compiles a trainer with the optimiser and schedule of its StageConfig and builds it.

    On JAX the images stay on the device where they fit, see `kerasood.training.resident`. On
    TensorFlow, and where they do not fit, batches are sent one by one, the next while a step runs.

    Args:
        trainer: model of `build_trainer`.
        data: TrainingData.
        config: StageConfig.

    Returns:
        function of (first epoch, epochs in all) -> what `trainer.fit` takes as its data.
    """
    images, _ = data.training
    steps = steps_per_epoch(len(images), config.batch_size)
    schedule = cosine_schedule(
        config.learning_rate, config.final_learning_rate, steps * config.epochs
    )
    optimizer = NesterovSGD(schedule, momentum=config.momentum, l2=config.weight_decay)
    arrays = resident.resident_arrays(data)
    steps_per_call = 1 if arrays is None else resident.steps_per_call(steps)
    trainer.compile(optimizer, steps_per_execution=steps_per_call)
    trainer(images[:1])
    trainer.optimizer.build(trainer.trainable_variables)
    make = _batches
    if arrays is not None:
        trainer.train_function = resident.train_function(trainer, arrays)
        make = functools.partial(resident.row_calls, steps_per_call)
    return functools.partial(make, data, config.batch_size, config.seed)


class StopOnNaN(keras.callbacks.Callback):
    """Stops training with an error when the loss or, after an epoch, a weight is not finite.

    The loss is looked at after every call: every step, or every epoch where the whole epoch is one.
    Must come before `KeepEveryEpoch`, so that only a good state is kept.
    """

    def __init__(self, run):
        super().__init__()
        self.run = run
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            self._stop(f"The loss became {loss} in epoch {self.epoch + 1}, by step {batch + 1}.")

    def on_epoch_end(self, epoch, logs=None):
        # The loss of a step is that of the weights before it.
        losses = [float(logs[name]) for name in ("loss", "val_loss") if name in logs]
        weights = checkpoints.host_copies(self.model.weights)
        finite = [np.isfinite(weight).all() for weight in weights]
        if not (all(map(math.isfinite, losses)) and all(finite)):
            self._stop(f"The network became NaN or infinite at the end of epoch {epoch + 1}.")

    def _stop(self, what):
        kept = "No epoch was finished before."
        if self.epoch:
            kept = f"The state after epoch {self.epoch} is kept in {self.run.checkpoint}."
        raise TrainingDiverged(f"{what} {kept} Try a smaller learning rate.")


class KeepEveryEpoch(keras.callbacks.Callback):
    """Writes the checkpoint and the history after every epoch, while the next epoch runs.

    Args:
        run: Run.
        history: list of dicts, receives one per epoch.
        thread: Executor that writes; whoever leaves it waits for the last file.
    """

    def __init__(self, run, history, thread):
        super().__init__()
        self.run = run
        self.history = history
        self.thread = thread
        self.writing = None

    def on_epoch_end(self, epoch, logs=None):
        learning_rate = float(self.model.optimizer.learning_rate)
        row = {"epoch": epoch + 1, "learning_rate": learning_rate}
        row |= {name: float(value) for name, value in logs.items() if name != "learning_rate"}
        self.history.append(row)
        state = checkpoints.state_of(self.model)
        self._wait()
        self.writing = self.thread.submit(_keep, self.run, state, list(self.history))

    def on_train_end(self, logs=None):
        self._wait()

    def _wait(self):
        """Until the file before is written, for good or with its error."""
        if self.writing is not None:
            self.writing.result()


def _keep(run, state, history):
    checkpoints.save_state(run.checkpoint, state, history)
    write_text(run.history, _to_csv(history))


def _to_csv(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _batches(data, *order):
    if data.outliers is None:
        arguments, make = data.training, array_batches
    else:
        arguments, make = (data.training, data.outliers), paired_batches
    if HAS_TENSORFLOW:
        from kerasood.training import pipelines

        streamed = {
            array_batches: pipelines.training_batches,
            paired_batches: pipelines.paired_training_batches,
        }
        make = streamed[make]
    return make(*arguments, *order)


def _tensorboard(run):
    if not HAS_TENSORFLOW:
        return []
    return [keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False)]
