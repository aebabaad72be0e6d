"""Callbacks beside the steps of a training: order, checkpoints, lines in a log."""

import csv
import io
import math
import time

import keras
import numpy as np

from kerasood.errors import KerasoodError
from kerasood.files import write_text
from kerasood.logs import log
from kerasood.training import checkpoints

SECONDS_BETWEEN_LINES = 30


class TrainingDiverged(KerasoodError, ArithmeticError):
    """The loss is no longer a finite number."""


class BeginEpoch(keras.callbacks.Callback):
    """Puts the data in an epoch's order, after the trainer prepared the epoch.

    Args:
        trainer: CrossEntropyTraining.
        batches: Batches, RowCalls or PairedBatches.
        outliers: (M, H, W, C) uint8 or None.
    """

    def __init__(self, trainer, batches, outliers=None):
        super().__init__()
        self.trainer = trainer
        self.batches = batches
        self.outliers = outliers

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.begin_epoch(epoch, self.trainer.begin_epoch(epoch, self.outliers))


class StopOnNaN(keras.callbacks.Callback):
    """Stops training with an error when the loss or, after an epoch, a weight is not finite.

    The loss is looked at after every call: every step, or every epoch where the whole epoch is one.
    Must come before `KeepEveryEpoch`, so that only a good state is kept.

    Args:
        kept: Path of the checkpoint of the last finished epoch, or None.
    """

    def __init__(self, kept=None):
        super().__init__()
        self.kept = kept
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
        kept = ""
        if self.kept is not None:
            kept = " No epoch was finished before."
            if self.epoch:
                kept = f" The state after epoch {self.epoch} is kept in {self.kept}."
        raise TrainingDiverged(f"{what}{kept} Try a smaller learning rate.")


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


class LogProgress(keras.callbacks.Callback):
    """Logs now and then how far an epoch is, for outputs that no progress bar can be drawn on."""

    def on_train_begin(self, logs=None):
        self.start = self.logged = time.monotonic()
        self.first = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.first = epoch if self.first is None else self.first

    def on_train_batch_end(self, batch, logs=None):
        now, steps = time.monotonic(), self.params["steps"]
        if now - self.logged < SECONDS_BETWEEN_LINES or not steps:
            return
        self.logged = now
        done = (self.epoch - self.first) * steps + batch + 1
        left = (self.params["epochs"] - self.first) * steps - done
        log.info(
            "epoch %d of %d, step %d of %d: loss %.4f; about %.0f min left",
            self.epoch + 1, self.params["epochs"], batch + 1, steps, float(logs["loss"]),
            (now - self.start) / done * left / 60,
        )


def history_to_csv(rows):
    """The text of a `history.csv`: list of one dict per epoch -> str."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _keep(run, state, history):
    checkpoints.save_state(run.checkpoint, state, history)
    write_text(run.history, history_to_csv(history))
