"""What the jobs share: sizes of networks and data, and where things are."""

import dataclasses
import pathlib

import numpy as np

from kerasood.config import option
from kerasood.files import atomic_path
from kerasood.training.config import train_config

JOBS = ("benchmark", "cifar10", "cifar100", "ablation", "summary")
DATASETS = ("cifar10", "cifar100")
REHEARSED_SETS = ("svhn", "textures", "mnist")


@dataclasses.dataclass(frozen=True)
class SliceConfig:
    """What `python -m experiments.gpu` does in one slice of time."""

    job: str = option("benchmark", "What to do.", JOBS)
    dataset: str = option("cifar10", "Data set of the ablation.", DATASETS)
    seeds: tuple[int, ...] = option((1, 2, 3), "Seeds; the ablation's first one tries everything.")
    data: str | None = option(None, "Folder with the images as .npz files.")
    work: str = option("gpu-work", "Folder that may be lost between machines, but not within one.")
    state: tuple[str, ...] = option((), "Folders with what came home before, comma-separated.")
    out: str = option("gpu-home", "Folder that receives what must come home.")
    minutes: float = option(9.0, "Minutes from now until nothing may run any more.")
    precision: str = option(
        "mixed_bfloat16", "Compute type in training; a rehearsal's is float32.",
        ("float32", "mixed_bfloat16"),
    )
    rehearse: bool = option(False, "Whether to go through it small, on generated images.")


@dataclasses.dataclass(frozen=True)
class Setup:
    """Sizes of a job.

    Args:
        data: absolute path of the data folder.
        seeds: tuple of int.
        sizes: values of a TrainConfig: network, epochs, batches, precision.
        validation_images: int, to choose detectors' parameters on, and of each kind of outlier.
        rehearse: bool, whether only a few recipes are tried, on the images made for that.
    """

    data: str
    seeds: tuple[int, ...]
    sizes: dict
    validation_images: int
    rehearse: bool

    def train_config(self, dataset, seed, **values):
        """A TrainConfig whose runs lie in `runs/DATASET-seedSEED`; it goes on where it stopped."""
        base = {
            "data_dir": self.data,
            "download": False,
            "out": str(run_folder(dataset, seed)),
            "seed": seed,
            "resume": True,
        }
        return train_config(dataset, **{**base, **self.sizes, **values})


def run_folder(dataset, seed):
    return pathlib.Path("runs", f"{dataset}-seed{seed}")


def setup_of(config):
    """The Setup of a SliceConfig; a rehearsal's images are made where they are not yet."""
    if not config.rehearse:
        if config.data is None:
            raise ValueError("Expected --data=FOLDER with the images. Received: none")
        data = str(pathlib.Path(config.data).absolute())
        return Setup(data, config.seeds, {"precision": config.precision}, 200, False)
    data = pathlib.Path(config.work, "rehearsal-images").absolute()
    write_rehearsal_images(data)
    sizes = {
        "depth": 10,
        "width": 1,
        "pretrain_epochs": 2,
        "finetune_epochs": 1,
        "batch_size": 20,
        "precision": "float32",
    }
    return Setup(str(data), config.seeds, sizes, 4, True)


def write_rehearsal_images(folder):
    """Small .npz files under the names of data sets: images brighter the larger their label is."""
    rng = np.random.default_rng(0)

    def images(labels):
        noise = rng.integers(0, 100, (len(labels), 32, 32, 3))
        return (noise + 20 * (labels % 8)[:, None, None, None]).astype("uint8")

    for name, num_classes in (("cifar10", 10), ("cifar100", 100)):
        labels = np.arange(2 * num_classes if num_classes == 100 else 60) % num_classes
        arrays = {
            f"{split}_{kind}": made
            for split in ("train", "test")
            for kind, made in (("images", images(labels)), ("labels", labels))
        }
        _write_npz(folder / f"{name}.npz", arrays)
    for name in REHEARSED_SETS:
        noise = rng.integers(0, 256, (30, 32, 32, 3)).astype("uint8")
        _write_npz(folder / f"{name}.npz", {"test_images": noise})


def _write_npz(path, arrays):
    if not path.exists():
        with atomic_path(path) as temporary:
            np.savez(temporary, **arrays)
