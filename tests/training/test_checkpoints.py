import csv
import pathlib
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from tiny_data import images_of, tiny_config

from kerasood import files
from kerasood.commands.train import train
from kerasood.networks.augmentation import RandomCropFlip
from kerasood.networks.saving import load_network
from kerasood.runs import RunConflictError
from kerasood.training import checkpoints
from kerasood.training.optimizers import NesterovSGD
from kerasood.training.trainers import CrossEntropyTraining

LABELS = np.arange(12) % 2
IMAGES = images_of(LABELS)[:, :8, :8]
HISTORY = [{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": 1 / 3}]
TRAIN = pathlib.Path(__file__).parents[2] / "train.py"


def compiled_trainer(width=3, seed=0):
    keras.utils.set_random_seed(seed)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(width),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5, seed=seed),
            keras.layers.Dense(2),
        ]
    )
    trainer = CrossEntropyTraining(network, RandomCropFlip(1, seed=seed))
    trainer.compile(NesterovSGD(0.1), run_eagerly=True)
    trainer(IMAGES[:1])
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer


def two_steps(trainer):
    trainer.reset_metrics()  # Keras 3.12 goes on with the mean of what was measured before.
    return [float(trainer.train_on_batch(IMAGES, LABELS, return_dict=True)["loss"])
            for _ in range(2)]


@pytest.fixture(scope="module")
def trainer():
    return compiled_trainer()


@pytest.fixture(scope="module")
def content(trainer, tmp_path_factory):
    two_steps(trainer)
    path = tmp_path_factory.mktemp("saved") / "checkpoint.npz"
    checkpoints.save_state(path, checkpoints.state_of(trainer), HISTORY)
    return path.read_bytes()


@pytest.fixture
def path(content, tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(content)
    return tmp_path / "checkpoint.npz"


def test_a_restored_trainer_goes_on_as_the_saved_one_does(path):
    first, second = compiled_trainer(seed=4), compiled_trainer(seed=5)
    assert two_steps(first) != two_steps(second)
    for trainer in (first, second):
        assert checkpoints.load_state(path, trainer) == HISTORY
        assert int(trainer.optimizer.iterations) == 2
    # Velocities, batch statistics, dropout and crop offsets are all part of what follows.
    assert two_steps(first) == two_steps(second)
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_restored_state_is_the_saved_one(path, trainer):
    restored = compiled_trainer(seed=5)
    checkpoints.load_state(path, restored)
    for ours, theirs in zip(restored.variables, trainer.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(
        restored.optimizer.variables, trainer.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_checkpoint_of_another_model_is_refused_and_assigns_nothing(path):
    wider = compiled_trainer(width=4)
    before = [weight.copy() for weight in wider.get_weights()]
    with pytest.raises(ValueError, match="checkpoint of model 'sequential.*of other shapes"):
        checkpoints.load_state(path, wider)
    for old, new in zip(before, wider.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("kept", [0, 1, 100, -1, -100])
def test_a_truncated_checkpoint_is_refused_and_named(path, content, trainer, kept):
    path.write_bytes(content[:kept])
    with pytest.raises(ValueError, match=f"Expected a checkpoint in {path}. Received: "):
        checkpoints.load_state(path, trainer)


def test_a_checkpoint_with_a_flipped_byte_is_refused(path, content, trainer):
    damaged = bytearray(content)
    damaged[len(damaged) // 3] ^= 255
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="Expected a checkpoint in "):
        checkpoints.load_state(path, trainer)


def test_nothing_is_unpickled(path, trainer, tmp_path):
    class Evil:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "touched",))

    np.savez(path, history=np.array([Evil()], dtype=object))
    with pytest.raises(ValueError, match="Expected a checkpoint in .*allow_pickle=False"):
        checkpoints.load_state(path, trainer)
    assert not (tmp_path / "touched").exists()


def test_a_full_disk_keeps_the_last_checkpoint(path, content, trainer, monkeypatch):

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", no_space)
    with pytest.raises(OSError, match=f"Cannot write {path}: No space left"):
        checkpoints.save_state(path, checkpoints.state_of(trainer), [])
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


class KilledWhen(threading.Thread):
    """Runs train.py and kills it as soon as a file of the run exists."""

    def __init__(self, config, name):
        super().__init__(daemon=True)
        self.folder = pathlib.Path(config.out) / "pretrain"
        self.name_awaited = name
        names = ["stage", "dataset", "out", "depth", "width", "pretrain_epochs", "batch_size"]
        names.append("precision")
        flags = [f"--{name}={getattr(config, name)}" for name in names]
        self.process = subprocess.Popen(
            [sys.executable, TRAIN, "--nodownload", *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.start()

    def run(self):
        while not (self.folder / self.name_awaited).exists() and self.process.poll() is None:
            time.sleep(0.002)
        self.process.send_signal(signal.SIGKILL)

    def files_left(self):
        assert self.process.wait(timeout=120) == -signal.SIGKILL
        return {path.name for path in self.folder.iterdir() if path.name[0] != "."}


def rows_of(run):
    with open(run.history, newline="") as file:
        return list(csv.DictReader(file))


def test_killed_runs_start_again_or_resume_and_end_where_an_uninterrupted_one_does(
    tmp_path, monkeypatch
):
    def config(name, **values):
        return tiny_config(tmp_path, pretrain_epochs=12, out=str(tmp_path / name), **values)

    in_first_epoch = KilledWhen(config("first"), "config.json")
    later = KilledWhen(config("later"), "checkpoint.npz")
    (whole,) = train(config("whole"))
    left = later.files_left()
    assert {"config.json", "checkpoint.npz"} <= left and "model.keras" not in left
    with pytest.raises(RunConflictError, match="unfinished run: continue it with --resume"):
        train(config("later"))
    (resumed,) = train(config("later", resume=True))
    assert rows_of(resumed) == rows_of(whole)
    assert [row["epoch"] for row in rows_of(whole)] == [str(epoch) for epoch in range(1, 13)]
    # Exact on one machine's CPU: same graph, same order, same threads.
    networks = load_network(resumed.model), load_network(whole.model)
    for ours, theirs in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_array_equal(ours, theirs)

    assert "checkpoint.npz" not in in_first_epoch.files_left()
    reached = []
    monkeypatch.setattr("kerasood.training.loop.fit", lambda *_: reached.append(_) or sys.exit())
    for resume in (False, True):
        with pytest.raises(SystemExit):
            train(config("first", resume=resume))
    assert len(reached) == 2
