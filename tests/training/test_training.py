import csv
import dataclasses
import math

import keras
import numpy as np
import pytest
from tiny_models import random_images, small_network

from kerasood.data.splits import TrainingData
from kerasood.runs import Run
from kerasood.training import callbacks, checkpoints, optimizers
from kerasood.training import loop as training
from kerasood.training.callbacks import TrainingDiverged
from kerasood.training.config import stage_config, train_config
from kerasood.training.loop import build_trainer
from kerasood.training.optimizers import NesterovSGD

CONFIG = stage_config(
    train_config(pretrain_epochs=4, pretrain_learning_rate=0.05, batch_size=5, crop=1), "pretrain"
)
SPARSE = stage_config(
    train_config(finetune_epochs=1, batch_size=5, crop=0, flip=False), "finetune", init="base"
)
IMAGES = random_images((8, 8, 3))
LABELS = np.arange(12, dtype="int32") % 4
VALIDATION = (IMAGES[:7], LABELS[:7])


def fit(folder, config=CONFIG, network=None, validation=None, outliers=None):
    """Trains; 12 images in batches of 5 are 3 steps an epoch. Returns (history, network, run)."""
    run = Run(folder / "run", config)
    run.path.mkdir(exist_ok=True)
    keras.utils.set_random_seed(config.seed)
    network = network or small_network()
    data = TrainingData((IMAGES, LABELS), validation, 4, None, outliers)
    history = training.fit(build_trainer(network, config), data, config, run, verbose=0)
    return history, network, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("trained"), validation=VALIDATION)


def rows_of(run):
    with open(run.history, newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def assert_same_weights(first, second):
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_history_has_a_row_per_epoch_with_the_parts_of_the_loss(trained):
    history, _, _ = trained
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    measured = {"loss", "ce", "accuracy", "energy"}
    for row in history:
        assert set(row) == {"epoch", "learning_rate", *measured} | {f"val_{m}" for m in measured}
        assert row["loss"] == pytest.approx(row["ce"], rel=1e-5)
        assert row["val_loss"] == pytest.approx(row["val_ce"], rel=1e-5)
    assert history[-1]["loss"] < history[0]["loss"]


def test_the_validation_numbers_are_those_of_the_network(trained):
    history, network, _ = trained
    logits = network.predict_on_batch(VALIDATION[0]).astype("float64")
    normalizers = np.log(np.exp(logits).sum(axis=1))
    ce = np.mean(normalizers - logits[np.arange(7), VALIDATION[1]])
    assert history[-1]["val_ce"] == pytest.approx(ce, rel=1e-5)
    assert history[-1]["val_energy"] == pytest.approx(-np.mean(normalizers), rel=1e-5)
    hits = np.mean(np.argmax(logits, axis=1) == VALIDATION[1])
    assert history[-1]["val_accuracy"] == pytest.approx(hits)


def test_the_learning_rate_falls_along_a_cosine_to_its_last_value(trained):
    for row in trained[0]:
        cosine = (1 + math.cos(math.pi * row["epoch"] / 4)) / 2
        expected = 1e-6 + (0.05 - 1e-6) * cosine
        assert row["learning_rate"] == pytest.approx(expected, rel=1e-5)
    assert trained[0][-1]["learning_rate"] == pytest.approx(1e-6, rel=1e-3)


def test_history_and_events_are_in_the_run_directory(trained):
    history, _, run = trained
    assert rows_of(run) == history
    for part in ("train", "validation"):
        (events,) = (run.path / "tensorboard" / part).glob("events.out.tfevents.*")
        assert b"epoch_loss" in events.read_bytes()


def test_the_sparsity_term_is_logged_and_part_of_the_loss(tmp_path):
    (row,), _, _ = fit(tmp_path, SPARSE)
    assert row["l1"] > 0
    assert row["loss"] == pytest.approx(row["ce"] + 0.01 * row["l1"], rel=1e-5)


def test_another_seed_of_the_run_gives_other_weights_from_the_same_start(tmp_path, trained):
    _, other, _ = fit(tmp_path, dataclasses.replace(CONFIG, seed=2))
    pairs = zip(other.get_weights(), trained[1].get_weights(), strict=True)
    assert any(np.any(ours != theirs) for ours, theirs in pairs)


def test_without_tensorflow_the_batches_and_so_the_weights_are_the_same(
    tmp_path, trained, monkeypatch
):
    monkeypatch.setattr(training, "HAS_TENSORFLOW", False)
    history, network, run = fit(tmp_path, validation=VALIDATION)
    assert_same_weights(network, trained[1])
    assert history == trained[0]
    assert not (run.path / "tensorboard").exists()


def test_outliers_train_alike_with_and_without_tensorflow(tmp_path, monkeypatch):
    config = stage_config(
        train_config(
            finetune_epochs=2, batch_size=5, crop=1, objective="energy", margin_in=-3.0,
            margin_out=-1.0,
        ),
        "finetune",
        init="base",
    )
    results = []
    for name in ("with", "without"):
        monkeypatch.setattr(training, "HAS_TENSORFLOW", name == "with")
        (tmp_path / name).mkdir()
        results.append(fit(tmp_path / name, config, validation=VALIDATION, outliers=IMAGES[::2]))
    (history, network, _), (other_history, other_network, _) = results
    assert history == other_history
    assert_same_weights(network, other_network)
    for row in history:
        assert row["loss"] > row["ce"] > 0 and row["energy_out"] < 0
        assert row["val_loss"] == pytest.approx(row["val_ce"], rel=1e-5)
        assert "val_energy_out" not in row


def test_a_training_cut_off_after_two_epochs_goes_on_to_the_same_weights(
    tmp_path, trained, monkeypatch
):
    class PowerCut(Exception):
        pass

    def cut_off(path, text):
        if text.count("\n") > 2:
            raise PowerCut

    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(callbacks, "write_text", cut_off)
        fit(tmp_path, validation=VALIDATION)
    history, network, run = fit(tmp_path, validation=VALIDATION)
    assert history == trained[0] == rows_of(run)
    assert_same_weights(network, trained[1])


def test_a_training_cut_off_after_its_last_checkpoint_needs_no_step(
    tmp_path, trained, monkeypatch
):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.npz").write_bytes(trained[2].checkpoint.read_bytes())
    monkeypatch.setattr(keras.Model, "fit", None)
    history, network, run = fit(tmp_path, validation=VALIDATION)
    assert history == trained[0] == rows_of(run)
    assert_same_weights(network, trained[1])


def test_a_checkpoint_of_another_network_is_refused(tmp_path, trained):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.npz").write_bytes(trained[2].checkpoint.read_bytes())
    with pytest.raises(ValueError, match="Expected a checkpoint of model .*of other shapes in"):
        fit(tmp_path, network=small_network(num_classes=5))


def test_a_truncated_checkpoint_is_refused_and_kept(tmp_path, trained):
    (tmp_path / "run").mkdir()
    content = trained[2].checkpoint.read_bytes()[:-200]
    (tmp_path / "run" / "checkpoint.npz").write_bytes(content)
    with pytest.raises(ValueError, match="Expected a checkpoint in .*run/checkpoint.npz"):
        fit(tmp_path)
    assert (tmp_path / "run" / "checkpoint.npz").read_bytes() == content


class Rates(keras.optimizers.schedules.LearningRateSchedule):
    """One learning rate per step; the last one stays."""

    def __init__(self, *rates):
        self.rates = rates

    def __call__(self, step):
        step = keras.ops.minimum(keras.ops.cast(step, "int32"), len(self.rates) - 1)
        return keras.ops.take(keras.ops.array(self.rates, "float32"), step)


def test_a_loss_that_explodes_stops_training_and_is_placed(tmp_path):
    absurd = dataclasses.replace(CONFIG, learning_rate=1e30)
    with pytest.raises(TrainingDiverged) as error:
        fit(tmp_path, absurd)
    message = str(error.value)
    assert message.startswith("The loss became nan in epoch 1, by step 2. No epoch was finished")
    assert message.endswith("Try a smaller learning rate.")
    assert not (tmp_path / "run" / "checkpoint.npz").exists()


def test_a_loss_that_explodes_later_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    rates = Rates(*[0.01] * 4, 1e30)
    monkeypatch.setattr(optimizers, "cosine_schedule", lambda *_: rates)
    with pytest.raises(TrainingDiverged, match="epoch 2, by step 3. The state after epoch 1"):
        fit(tmp_path)
    run = Run(tmp_path / "run", CONFIG)
    trainer = build_trainer(small_network(), CONFIG)
    trainer.compile(NesterovSGD(rates))
    trainer(IMAGES[:1])
    trainer.optimizer.build(trainer.trainable_variables)
    (row,) = checkpoints.load_state(run.checkpoint, trainer)
    assert rows_of(run) == [row]
    assert all(np.isfinite(weight).all() for weight in trainer.get_weights())


def test_a_last_step_that_breaks_the_weights_is_noticed(tmp_path, monkeypatch):
    """No loss follows that step, in this epoch."""
    rates = Rates(*[0.01] * 5, float("nan"))
    monkeypatch.setattr(optimizers, "cosine_schedule", lambda *_: rates)
    with pytest.raises(TrainingDiverged, match="NaN or infinite at the end of epoch 2. The state"):
        fit(tmp_path)
    assert len(rows_of(Run(tmp_path / "run", CONFIG))) == 1
