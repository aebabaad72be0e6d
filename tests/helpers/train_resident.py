"""Trains on the JAX backend without TensorFlow in several ways; writes all weights to an .npz.

Run by test_resident.py in a process of its own: train_resident.py FILE.
"""

import functools
import json
import pathlib
import sys
import tempfile
from unittest import mock

sys.modules["tensorflow"] = None

import jax  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from tiny_models import random_images  # noqa: E402

from benchmarks.side_by_side import SideBySide, state_of  # noqa: E402
from kerasood.data.splits import TrainingData  # noqa: E402
from kerasood.networks.augmentation import Standardize  # noqa: E402
from kerasood.runs import Run  # noqa: E402
from kerasood.training import callbacks, resident  # noqa: E402
from kerasood.training import loop as training  # noqa: E402
from kerasood.training.batches import Batches  # noqa: E402
from kerasood.training.config import stage_config, train_config  # noqa: E402

IMAGES = random_images((8, 8, 3))
LABELS = np.arange(12, dtype="int32") % 4
VALIDATION = (IMAGES[:5], LABELS[:5])
OBJECTIVES = {
    # 12 images in batches of 5 are 3 steps, the last partial; in batches of 6 two.
    "ce": {"batch_size": 5},
    "sparsity": {"batch_size": 6},
    "energy": {"batch_size": 6, "margin_in": -3.0, "margin_out": -1.0},
}


class PowerCut(Exception):
    pass


def stage(objective="ce", seed=1, **values):
    values = OBJECTIVES[objective] | {"finetune_learning_rate": 0.01} | values
    config = train_config(objective=objective, finetune_epochs=3, crop=1, seed=seed, **values)
    return stage_config(config, "finetune", init="base")


def small_network(policy):
    images = keras.Input((8, 8, 3), dtype="uint8")
    x = Standardize(dtype=policy)(images)
    x = keras.layers.Flatten(dtype=policy)(x)
    x = keras.layers.BatchNormalization(dtype=policy)(x)
    x = keras.layers.Dropout(0.5, dtype=policy)(x)
    return keras.Model(images, keras.layers.Dense(4, dtype="float32")(x))


def data_of(config):
    outliers = IMAGES[::2] if config.objective == "energy" else None
    validation = VALIDATION if config.objective == "ce" else None
    return TrainingData((IMAGES, LABELS), validation, 4, None, outliers)


def batches_of(config):
    data = data_of(config)
    return Batches(*data.training, config.batch_size, config.seed, data.outliers)


def made(config, policy="float32"):
    keras.utils.set_random_seed(config.seed)
    return training.build_trainer(small_network(policy), config)


def fit(config, folder=None, trainer=None):
    """Returns the trainer and its history."""
    trainer = trainer or made(config)
    with tempfile.TemporaryDirectory() as other:
        run = Run(pathlib.Path(folder or other), config)
        return trainer, training.fit(trainer, data_of(config), config, run, verbose=0)


def plain(config):
    with mock.patch.object(resident, "resident_arrays", lambda data: None):
        return fit(config)


def scanned():
    """Makes an epoch one call, as on an accelerator."""
    return mock.patch.object(resident, "steps_per_call", lambda steps: steps)


def cut_off_and_resumed(config):
    def cut_off(path, text):
        if text.count("\n") > 2:
            raise PowerCut

    with tempfile.TemporaryDirectory() as folder:
        try:
            with mock.patch.object(callbacks, "write_text", cut_off):
                fit(config, folder)
        except PowerCut:
            return fit(config, folder)


def diverged():
    try:
        fit(stage(finetune_learning_rate=1e30, batch_size=6))
    except callbacks.TrainingDiverged as error:
        return str(error)


def together(seeds):
    """Trainers of several seeds after three epochs in the same calls."""
    configs = [stage(seed=seed) for seed in seeds]
    trainers = [made(config) for config in configs]
    batches = [
        training.prepare(trainer, batches_of(config), config)
        for trainer, config in zip(trainers, configs, strict=True)
    ]
    models = SideBySide(trainers, batches_of(configs[0]))
    for epoch in range(3):
        for one in batches:
            one.begin_epoch(epoch)
        for call in range(-(-len(batches[0]) // batches[0].steps)):
            logs = models.train([one[call] for one in batches])
    models.assign()
    return trainers, logs


def too_large():
    with mock.patch.object(resident, "_free_bytes", lambda device: 2 * IMAGES.nbytes - 1):
        return resident.resident_arrays(batches_of(stage())) is None


def program(**values):
    """What is compiled for a fine-tune, as text."""
    config = stage("sparsity", **values)
    trainer, batches = made(config), batches_of(config)
    ((rows,),) = training.prepare(trainer, batches, config)[0]
    steps = jax.jit(functools.partial(resident.take_steps, trainer))
    return steps.lower(state_of(trainer), resident.resident_arrays(batches), rows).as_text()


def main(path):
    trainers, histories = {}, {}
    for objective in OBJECTIVES:
        config = stage(objective)
        trainers[f"{objective}/plain"], histories[f"{objective}/plain"] = plain(config)
        with scanned():
            trainers[f"{objective}/scanned"], histories[f"{objective}/scanned"] = fit(config)
    trainers["ce/stepped"], histories["ce/stepped"] = fit(stage())
    with scanned():
        trainers["ce/resumed"], histories["ce/resumed"] = cut_off_and_resumed(stage())
        half = made(stage(), "mixed_bfloat16")
        trainers["ce/half"], histories["ce/half"] = fit(stage(), trainer=half)
        report = {"diverged": diverged(), "too_large": too_large()}
        (first, second), report["logs"] = together((1, 2))
        trainers |= {"seed1/together": first, "seed2/together": second}
        trainers["seed2/alone"], _ = fit(stage(seed=2))
    usual = program(weight=0.01)
    report["same_program"] = {
        "weight": program(weight=0.1) == usual,
        "site": program(weight=0.01, site="features") == usual,
    }
    arrays = {
        f"{name}/{number}": np.asarray(variable)
        for name, trainer in trainers.items()
        for number, variable in enumerate([*trainer.variables, *trainer.optimizer.variables])
    }
    report["logs"] = {name: values.tolist() for name, values in report["logs"].items()}
    report |= {"histories": histories, "backend": keras.backend.backend()}
    np.savez(path, report=json.dumps(report), **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
