"""Data sets, configurations and runs that train in a second."""

import numpy as np

from kerasood.commands.train import train
from kerasood.runs import Run
from kerasood.training.config import train_config


def images_of(labels, seed=0):
    """Images uint8 (N, 32, 32, 3) that are brighter the larger their label is."""
    noise = np.random.default_rng(seed).integers(0, 100, (len(labels), 32, 32, 3))
    return (noise + 70 * np.asarray(labels)[:, None, None, None]).astype("uint8")


def write_npz(path, num_images=24, num_classes=2, **changes):
    """An .npz file with a train and a test split; `changes` replace its arrays."""
    labels = np.arange(num_images) % num_classes
    arrays = {
        "train_images": images_of(labels),
        "train_labels": labels,
        "test_images": images_of(labels, seed=1),
        "test_labels": labels,
    }
    np.savez(path, **{**arrays, **changes})
    return str(path)


def tiny_config(folder, **values):
    """A TrainConfig for a WRN-10-1 on the .npz file of `write_npz`."""
    data = folder / "tiny.npz"
    if not data.exists():
        write_npz(data)
    tiny = {
        "stage": "pretrain",
        "dataset": str(data),
        "out": str(folder / "runs"),
        "depth": 10,
        "width": 1,
        "pretrain_epochs": 1,
        "finetune_epochs": 1,
        "batch_size": 16,
        "precision": "float32",
        "download": False,
    }
    return train_config(**{**tiny, **values})


def trained_run(folder, **values):
    """The complete Run of the one stage of a `tiny_config`."""
    (run,) = train(tiny_config(folder, **values))
    return Run.open(run.path)


def contents(folder):
    """{relative path: bytes} of the files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
