"""An experiment is a frozen dataclass; its command-line flags are generated from its fields."""

import dataclasses

from kerasood.data.decoding import RESIZINGS
from kerasood.data.options import DataOptions
from kerasood.errors import InvalidInputError, check_share, check_whole, check_whole_or_none

# Where `score_files` works.
ENGINES = ("local", "ray")
BATCH_SIZE = "Images in a forward pass [250, fewer of images above 96 x 96 pixels]."


def option(default, text, choices=None):
    """A dataclass field with what its flag needs: default, help text and allowed values."""
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices})


class ReadsData:
    """Flags that say where images are, shared by configurations: data_dir, download, strict."""

    @property
    def data(self):
        """Their DataOptions."""
        return DataOptions(self.data_dir, self.download, getattr(self, "strict", False))


@dataclasses.dataclass(frozen=True)
class OwnModel:
    """Flags of a model that comes as a file, and not from a run directory."""

    model: str | None = option(None, ".keras or .h5 file of any Keras classifier, instead of runs.")
    dataset: str | None = option(
        None, "Its in-distribution data: a name, .npz file, image folder or list of files."
    )
    class_names: tuple[str, ...] = option(
        (), "Names of its outputs in their order, for folders that lack some classes."
    )
    preprocessing: str | None = option(
        None, "What its pixels 0-255 go through first, outside of the file: scale_0_1, scale_-1_1, "
        "imagenet_torch, imagenet_caffe or none."
    )
    resizing: str | None = option(
        None, "How its photographs become squares [as the file says, else crop].", RESIZINGS
    )
    antialias: bool = option(
        True, "Whether they are averaged where they shrink; image_dataset_from_directory does not."
    )

    def check_own_model(self):
        """Refuses flags of an own model that do not fit together, or lack one.

        Raises:
            InvalidInputError: says which.
        """
        others = "dataset", "class_names", "preprocessing", "resizing"
        given = [name for name in others if getattr(self, name)] + ["antialias"] * (
            not self.antialias
        )
        if self.model is None and given:
            raise InvalidInputError(
                f"Expected --model=FILE with {', '.join(f'--{name}' for name in given)}. "
                "Received: none; a run directory knows its own"
            )
        if self.model is not None and (self.run or not self.dataset):
            raise InvalidInputError(
                "Expected --dataset and no --run with --model. Received: "
                f"--dataset={self.dataset}, --run={self.run}"
            )


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(OwnModel, ReadsData):
    """Configuration of `evaluate.py`: models against OOD sets."""

    suite: str | None = option(
        None, "The paper's tables and figures beside its own numbers.", ("paper",)
    )
    run: tuple[str, ...] = option(
        (), "Run directories or zoo:NAME, comma-separated [the newest under runs/]."
    )
    ood: tuple[str, ...] = option(("all",), "OOD sets: all, names, or name=path, comma-separated.")
    detectors: tuple[str, ...] = option(
        ("all",), "Detectors: all, auto, or names, comma-separated."
    )
    protocol: str | None = option(None, "How sets are scored [full].", ("full", "paper", "openood"))
    tpr: float = option(0.95, "Share of in-distribution images that the threshold shall accept.")
    tune: bool = option(True, "Whether detectors choose parameters on generated outliers.")
    validation_images: int = option(200, "Images to choose them on, and of each kind of outlier.")
    data_dir: str | None = option(None, "Folder that is searched for data before any download.")
    download: bool = option(True, "Whether missing data may be downloaded.")
    strict: bool = option(False, "Whether an unreadable image file is an error, not a warning.")
    cache: bool = option(True, "Whether outputs are kept in, and taken from, the run directory.")
    batch_size: int | None = option(None, BATCH_SIZE)
    out: str | None = option(
        None, "Folder of the report [LAST RUN/evaluation, runs/MODEL-DATASET, runs/paper-suite]."
    )
    seed: int = option(1, "Seed of the draws, the calibration split and the generated outliers.")

    def __post_init__(self):
        check_whole(1, validation_images=self.validation_images)
        check_whole_or_none(1, batch_size=self.batch_size)
        check_whole(0, seed=self.seed)
        check_share(tpr=self.tpr)


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """Configuration of `kerasood-convert`: a PyTorch checkpoint as a .keras file."""

    checkpoint: str | None = option(None, "State dict of a WideResNet: PyTorch or .safetensors.")
    out: str | None = option(None, "The .keras file to write; must not exist.")
    mean: tuple[float, ...] = option(
        (125.3, 123.0, 113.9), "Mean per channel its images were normalised with, pixels 0-255."
    )
    std: tuple[float, ...] = option((63.0, 62.1, 66.7), "Their std per channel, pixels 0-255.")
    dropout: float = option(0.3, "Dropout inside the residual blocks when it is trained on.")
    image_size: int = option(32, "Height and width of the images, pixels.")


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """Configuration of `kerasood-score`: one exported model over many files."""

    model: str | None = option(
        None, "SavedModel folder, .tflite, .onnx or .xml file, or .keras file of an OODModel."
    )
    images: tuple[str, ...] = option(
        (), "Folders, globs, image files, lists (.txt, .csv), .npz, .npy or .tar, comma-separated."
    )
    out: str | None = option(None, "The .csv or .parquet file to write; must not exist.")
    column: str | None = option(
        None, "Column of CSV lists that names the files [file, filename...]."
    )
    batch_size: int | None = option(
        None, "Images in a forward pass [64, of large images fewer]."
    )
    threads: int | None = option(None, "Threads that decode [one per core, at most 8].")
    resume: bool = option(False, "Whether an unfinished job of the same settings goes on.")
    against: str | None = option(None, "Output of an earlier job to compare with.")
    engine: str = option("local", "This machine, or the workers of a Ray cluster.", ENGINES)
    address: str | None = option(None, "Address of a running Ray cluster [one started here].")
    workers: int | None = option(None, "Workers of the engine ray [one per CPU].")


@dataclasses.dataclass(frozen=True)
class MonitorConfig:
    """Configuration of `kerasood-monitor`: logged answers against the model that gave them."""

    model: str | None = option(None, "The exported model: SavedModel folder or file.")
    log: tuple[str, ...] = option(
        (), "Answers: .jsonl of the clients' --log, .csv or .parquet of kerasood-score."
    )
    window: int = option(1000, "Answers of a window.")
    significance: float = option(0.05, "Probability that there is ever a false alarm, at most.")
    html: str | None = option(None, "Page to write.")
    prometheus: str | None = option(None, "Metrics to write, in Prometheus's text format.")
