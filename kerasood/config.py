"""An experiment is a frozen dataclass; its command-line flags are generated from its fields."""

import dataclasses

from kerasood.data.options import DataOptions
from kerasood.errors import InvalidInputError
from kerasood.training.recipes import OBJECTIVES, PRESETS, objective_fields


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
class TrainConfig(ReadsData):
    """Configuration of `train.py`: one or both stages on one data set."""

    stage: str = option("all", "What to train.", ("pretrain", "finetune", "all"))
    dataset: str = option("cifar10", "In-distribution data: a name, .npz file or image folder.")
    data_dir: str | None = option(None, "Folder that is searched for data before any download.")
    download: bool = option(True, "Whether missing data may be downloaded.")
    strict: bool = option(False, "Whether an unreadable image file is an error, not a warning.")
    out: str | None = option(None, "Parent of the run directories [runs/DATASET-NETWORK-seedSEED].")
    run: str | None = option(None, "Run directory of a single stage [OUT/STAGE].")
    init: str | None = option(
        None, "Base of a fine-tune: run directory, .keras or zoo:NAME [OUT/pretrain]."
    )
    resume: bool = option(False, "Whether to continue an interrupted run.")
    depth: int = option(40, "Depth of the WideResNet, 6 n + 4.")
    width: int = option(2, "Width of the WideResNet.")
    dropout: float = option(0.3, "Dropout inside the residual blocks.")
    objective: str = option("sparsity", "Objective of the fine-tune.", OBJECTIVES)
    site: str = option("logits", "What the sparsity term penalises.", ("logits", "features"))
    weight: float | None = option(
        None, "Weight of the added term [sparsity .01 / .02, energy .1, outlier_exposure .5]."
    )
    outliers: str | None = option(
        None, "Outlier images of energy and outlier_exposure: name, .npz or folder [imagenet32]."
    )
    max_outliers: int | None = option(
        None, "Outliers held in memory, a random sample of them, 3 KB each [all]."
    )
    margins: str | None = option(
        None, "Margins of energy: the base's quantiles, or for CIFAR the reference's [auto].",
        ("auto", "reference"),
    )
    margin_in: float | None = option(None, "Energy below which images are pushed, nats.")
    margin_out: float | None = option(None, "Energy above which outliers are pushed, nats.")
    pretrain_epochs: int = option(100, "Epochs of the pretrain stage.")
    finetune_epochs: int = option(10, "Epochs of the finetune stage.")
    finetune_dropout: float | None = option(
        None, "Dropout of a WideResNet while it is fine-tuned [its base's]."
    )
    pretrain_learning_rate: float = option(0.1, "First learning rate of the pretrain stage.")
    finetune_learning_rate: float = option(0.001, "First learning rate of the finetune stage.")
    final_learning_rate: float = option(1e-6, "Last learning rate; cosine decay per step.")
    momentum: float = option(0.9, "Nesterov momentum.")
    weight_decay: float = option(5e-4, "L2 weight decay, inside the gradient, all parameters.")
    batch_size: int = option(128, "Images in a training step.")
    crop: int = option(4, "Pixels of zero padding before the random crop; 0 switches it off.")
    flip: bool = option(True, "Whether images are mirrored at random.")
    holdout: float = option(0.0, "Share of the training images kept out for calibration.")
    precision: str = option(
        "auto", "Compute type in training; auto: what is fast on this processor.",
        ("auto", "float32", "mixed_bfloat16"),
    )
    seed: int = option(1, "Seed of weights, order, augmentation and dropout.")
    seeds: tuple[int, ...] = option((), "Several seeds, each in OUT-seedSEED [--seed alone].")

    def __post_init__(self):
        for stage in ("pretrain", "finetune"):
            _check_positive(self, f"{stage}_epochs", f"{stage}_learning_rate")
        _check_positive(self, "batch_size")
        if self.max_outliers is not None:
            _check_positive(self, "max_outliers")


@dataclasses.dataclass(frozen=True)
class StageConfig:
    """One training run, saved as its `config.json`: equal configurations give equal runs.

    Fine-tunes have no depth and width, and a dropout only where it is not their base's. The
    margins, and `init_hash`, the sha256 of the base's weights, are known once the base is there;
    until then they are None. Fields with a default are younger than some runs.
    """

    stage: str
    dataset: str
    init: str | None
    depth: int | None
    width: int | None
    dropout: float | None
    objective: str
    site: str | None
    weight: float | None
    epochs: int
    learning_rate: float
    final_learning_rate: float
    momentum: float
    weight_decay: float
    batch_size: int
    crop: int
    flip: bool
    holdout: float
    precision: str
    seed: int
    outliers: str | None = None
    max_outliers: int | None = None
    margins: str | None = None
    margin_in: float | None = None
    margin_out: float | None = None
    init_hash: str | None = None
    holdout_seed: int | None = None

    @property
    def split_seed(self):
        """Seed of what `holdout` keeps out: the base's, also in fine-tunes of other seeds."""
        return self.seed if self.holdout_seed is None else self.holdout_seed

    @property
    def name(self):
        """Name of the run directory: pretrain, finetune-ce, finetune-sparsity-logits..."""
        if self.stage == "pretrain":
            return self.stage
        return "-".join(part for part in (self.stage, self.objective, self.site) if part)


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(ReadsData):
    """Configuration of `evaluate.py`: models of one or more runs against OOD sets."""

    suite: str | None = option(
        None, "The paper's tables and figures beside its own numbers.", ("paper",)
    )
    run: tuple[str, ...] = option(
        (), "Run directories or zoo:NAME, comma-separated [the newest under runs/]."
    )
    ood: tuple[str, ...] = option(("all",), "OOD sets: all, names, or name=path, comma-separated.")
    detectors: tuple[str, ...] = option(("all",), "Detectors: all, or names, comma-separated.")
    protocol: str | None = option(None, "How sets are scored [full].", ("full", "paper", "openood"))
    tpr: float = option(0.95, "Share of in-distribution images that the threshold shall accept.")
    tune: bool = option(True, "Whether detectors choose parameters on generated outliers.")
    validation_images: int = option(200, "Images to choose them on, and of each kind of outlier.")
    data_dir: str | None = option(None, "Folder that is searched for data before any download.")
    download: bool = option(True, "Whether missing data may be downloaded.")
    strict: bool = option(False, "Whether an unreadable image file is an error, not a warning.")
    cache: bool = option(True, "Whether outputs are kept in, and taken from, the run directory.")
    batch_size: int = option(250, "Images in a forward pass.")
    out: str | None = option(None, "Folder of the report [LAST RUN/evaluation, runs/paper-suite].")
    seed: int = option(1, "Seed of the draws, the calibration split and the generated outliers.")

    def __post_init__(self):
        _check_positive(self, "batch_size", "validation_images")
        _check_share(self, "tpr")


@dataclasses.dataclass(frozen=True)
class ExportConfig(ReadsData):
    """Configuration of `python -m export`: one run's model, detector and threshold as files."""

    run: str | None = option(None, "Run directory or zoo:NAME [the newest under runs/].")
    format: str = option(
        "all", "What to write; all: what is installed and can express the model.",
        ("saved_model", "tflite", "onnx", "openvino", "all"),
    )
    quantization: str = option(
        "none", "What becomes smaller in the TFLite file.", ("none", "float16", "dynamic", "int8")
    )
    ood: tuple[str, ...] = option(
        ("all",), "OOD sets a quantised file is evaluated on: all at hand, names, or name=path."
    )
    evaluation_images: int = option(2000, "Images of each set for that; 0: all of them.")
    verify: str | None = option(
        None, "Version directory whose files shall answer again as at their export; writes nothing."
    )
    out: str = option("exported", "Folder that receives MODEL/VERSION/.")
    model: str | None = option(None, "Name of the served model [the data set's name].")
    version: int | None = option(None, "Version number [the next free one].")
    max_megapixels: int = option(89, "Largest JPEG file that the SavedModel decodes; PNG: 24.")
    detector: str = option("energy", "Detector whose score and threshold ship in the graph.")
    tpr: float = option(0.95, "Share of in-distribution images that the threshold shall accept.")
    tune: bool = option(True, "Whether a detector not fitted yet chooses its parameters.")
    validation_images: int = option(200, "Images to choose them on, and of each kind of outlier.")
    guarantee: str = option(
        "average",
        "Whether that share holds on average over calibrations, or for this one with confidence.",
        ("average", "confidence"),
    )
    confidence: float = option(0.95, "Confidence of that guarantee and of the stated interval.")
    per_class: bool = option(False, "Whether each predicted class gets a threshold of its own.")
    calibration: str | None = option(
        None, "In-distribution images, never trained on: a name, .npz or folder [the run's own]."
    )
    data_dir: str | None = option(None, "Folder that is searched for data before any download.")
    download: bool = option(True, "Whether missing data may be downloaded.")
    batch_size: int = option(250, "Images in a forward pass.")
    seed: int = option(1, "Seed of the calibration split and the generated outliers.")

    def __post_init__(self):
        _check_positive(self, "batch_size", "validation_images", "max_megapixels")
        _check_share(self, "tpr")
        _check_share(self, "confidence")


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


def train_config(dataset, **values):
    """A TrainConfig of a data set: the recipe, the set's preset over it, `values` over both."""
    return TrainConfig(dataset=dataset, **{**PRESETS.get(dataset, {}), **values})


def stage_config(config, stage, init=None):
    """The part of a TrainConfig that decides one stage's result.

    Raises:
        ValueError: flags that do not fit the objective.
    """
    pretrain = stage == "pretrain"
    objective = {"objective": "ce", "site": None, "weight": None}
    return StageConfig(
        stage=stage,
        dataset=config.dataset,
        init=init,
        depth=config.depth if pretrain else None,
        width=config.width if pretrain else None,
        dropout=config.dropout if pretrain else config.finetune_dropout,
        epochs=config.pretrain_epochs if pretrain else config.finetune_epochs,
        learning_rate=(
            config.pretrain_learning_rate if pretrain else config.finetune_learning_rate
        ),
        **(objective if pretrain else objective_fields(config)),
        **{name: getattr(config, name) for name in _OF_EVERY_STAGE},
    )


def _check_positive(config, *names):
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            raise InvalidInputError(f"Expected {name} > 0. Received: {name}={value}")


def _check_share(config, name):
    value = getattr(config, name)
    if not 0 < value < 1:
        raise InvalidInputError(f"Expected {name} in (0, 1). Received: {name}={value}")


_OF_EVERY_STAGE = (
    "final_learning_rate", "momentum", "weight_decay", "batch_size", "crop", "flip", "holdout",
    "precision", "seed",
)
