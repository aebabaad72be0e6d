"""Configurations of `train.py` and of one training run: frozen dataclasses."""

import dataclasses

from kerasood.config import ReadsData, check_positive, option
from kerasood.errors import InvalidInputError
from kerasood.training.recipe import PRESETS, Recipe
from kerasood.training.trainers import OBJECTIVES, objective_named

DEFAULT_OUTLIERS = "imagenet32"
FINE_TUNE = Recipe()


def _objective_options():
    """A dataclass with the parameters of all objectives, None where not given."""
    lines, kinds = {}, {}
    for name, objective in OBJECTIVES.items():
        for parameter, described in objective.parameters().items():
            lines.setdefault(parameter, []).append(f"{name}: {described.text}")
            kinds[parameter] = described
    return dataclasses.make_dataclass(
        "ObjectiveParameters",
        [
            (
                name,
                (str if kinds[name].choices else kinds[name].kind) | None,
                option(None, "; ".join(lines[name]) + ".", kinds[name].choices),
            )
            for name in lines
        ],
        frozen=True,
    )


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
    objective: str = option("sparsity", "Objective of the fine-tune.", lambda: tuple(OBJECTIVES))
    parameters: dict = dataclasses.field(
        default_factory=dict, metadata={"fields": _objective_options}
    )
    outliers: str | None = option(
        None,
        "Outlier images of the objectives that need some: name, .npz or folder [imagenet32].",
    )
    max_outliers: int | None = option(
        None, "Outliers held in memory, a random sample of them, 3 KB each [all]."
    )
    pretrain_epochs: int = option(100, "Epochs of the pretrain stage.")
    finetune_epochs: int = option(FINE_TUNE.epochs, "Epochs of the finetune stage.")
    finetune_dropout: float | None = option(
        None, "Dropout of a WideResNet while it is fine-tuned [its base's]."
    )
    pretrain_learning_rate: float = option(0.1, "First learning rate of the pretrain stage.")
    finetune_learning_rate: float = option(
        FINE_TUNE.learning_rate, "First learning rate of the finetune stage."
    )
    final_learning_rate: float = option(
        FINE_TUNE.final_learning_rate, "Last learning rate; cosine decay per step."
    )
    momentum: float = option(FINE_TUNE.momentum, "Nesterov momentum.")
    weight_decay: float = option(
        FINE_TUNE.weight_decay, "L2 weight decay, inside the gradient, all parameters."
    )
    batch_size: int = option(FINE_TUNE.batch_size, "Images in a training step.")
    crop: int = option(
        FINE_TUNE.crop, "Pixels of zero padding before the random crop; 0 switches it off."
    )
    flip: bool = option(FINE_TUNE.flip, "Whether images are mirrored at random.")
    holdout: float = option(0.0, "Share of the training images kept out for calibration.")
    precision: str = option(
        "auto", "Compute type in training; auto: what is fast on this processor.",
        ("auto", "float32", "mixed_bfloat16"),
    )
    seed: int = option(1, "Seed of weights, order, augmentation and dropout.")
    seeds: tuple[int, ...] = option((), "Several seeds, each in OUT-seedSEED [--seed alone].")

    def __post_init__(self):
        for stage in ("pretrain", "finetune"):
            check_positive(self, f"{stage}_epochs", f"{stage}_learning_rate")
        check_positive(self, "batch_size")
        if self.max_outliers is not None:
            check_positive(self, "max_outliers")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageConfig(Recipe):
    """One training run, saved as its `config.json`: equal configurations give equal runs.

    Fine-tunes have no depth and width, and a dropout only where it is not their base's. `init` is
    where the base was found; what it is says `init_hash`, the sha256 of its weights, known once it
    is there. `parameters` are the objective's, `derived` those of them that follow from the base.
    """

    stage: str
    dataset: str
    init: str | None = None
    depth: int | None = None
    width: int | None = None
    dropout: float | None = None
    objective: str = "ce"
    parameters: dict = dataclasses.field(default_factory=dict)
    derived: dict | None = None
    holdout: float = 0.0
    precision: str = "float32"
    seed: int = 1
    outliers: str | None = None
    max_outliers: int | None = None
    init_hash: str | None = None
    holdout_seed: int | None = None

    @classmethod
    def from_dict(cls, stored):
        """The configuration of a `config.json`, parameters of the objective beside its fields.

        Raises:
            TypeError: it is no mapping, or fields are missing.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        stored = dict(stored)
        others = {n: value for n, value in stored.items() if n not in names and value is not None}
        fields = {name: value for name, value in stored.items() if name in names}
        return cls(**{**fields, "parameters": fields.get("parameters", {}) | others})

    @property
    def split_seed(self):
        """Seed of what `holdout` keeps out: the base's, also in fine-tunes of other seeds."""
        return self.seed if self.holdout_seed is None else self.holdout_seed

    @property
    def objective_parameters(self):
        """All parameters of the objective: given, usual and derived ones."""
        return {**self.parameters, **(self.derived or {})}

    @property
    def name(self):
        """Name of the run directory: pretrain, finetune-ce, finetune-sparsity-logits..."""
        if self.stage == "pretrain":
            return self.stage
        return "-".join([self.stage, self.objective, *self._differing("")])

    @property
    def label(self):
        """The run in a table: base, + ce, + sparsity (logits, weight 0.05)..."""
        if self.stage == "pretrain":
            return "base"
        differing = ", ".join(self._differing(" "))
        return f"+ {self.objective}" + (f" ({differing})" if differing else "")

    def _differing(self, between):
        """Differences from the objective's usual run: ["logits", "weight0.05"]."""
        if self.objective not in OBJECTIVES:
            return [str(value) for value in self.parameters.values() if isinstance(value, str)]
        differing = OBJECTIVES[self.objective].differing(self.parameters)
        return [
            value if isinstance(value, str) else f"{name}{between}{value:g}"
            for name, value in differing.items()
        ]


def train_config(dataset="cifar10", **values):
    """A TrainConfig of a data set: the recipe, the set's preset over it, `values` over both.

    Args:
        dataset: str.
        **values: fields of TrainConfig, and parameters of its objective.
    """
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    parameters = {name: value for name, value in values.items() if name not in names}
    fields = {name: value for name, value in values.items() if name in names}
    parameters = fields.pop("parameters", {}) | parameters
    preset = PRESETS.get(dataset, {})
    return TrainConfig(dataset=dataset, **{**preset, **fields, "parameters": parameters})


def stage_config(config, stage, init=None):
    """The part of a TrainConfig that decides one stage's result.

    Raises:
        ValueError: flags that do not fit the objective.
    """
    pretrain = stage == "pretrain"
    shared = {
        name: getattr(config, name)
        for name in (
            "dataset", "final_learning_rate", "momentum", "weight_decay", "batch_size", "crop",
            "flip", "holdout", "precision", "seed",
        )
    }
    if pretrain:
        return StageConfig(
            stage=stage,
            depth=config.depth,
            width=config.width,
            dropout=config.dropout,
            epochs=config.pretrain_epochs,
            learning_rate=config.pretrain_learning_rate,
            **shared,
        )
    return StageConfig(
        stage=stage,
        init=init,
        dropout=config.finetune_dropout,
        epochs=config.finetune_epochs,
        learning_rate=config.finetune_learning_rate,
        **_objective_fields(config),
        **shared,
    )


def _objective_fields(config):
    """Fields that the objective of a fine-tune adds to its StageConfig."""
    objective = objective_named(config.objective)
    given = {name: value for name, value in config.parameters.items() if value is not None}
    for name in given:
        takers = [other for other, kind in OBJECTIVES.items() if name in kind.parameters()]
        _check_acts(config, name, takers)
    for name in ("outliers", "max_outliers"):
        if getattr(config, name) is not None:
            needing = [other for other, kind in OBJECTIVES.items() if kind.needs_outliers]
            _check_acts(config, name, needing)
    if config.outliers == config.dataset:
        raise InvalidInputError(
            "Expected outliers other than the in-distribution images. Received: "
            f"--outliers={config.outliers} for both"
        )
    fields = {
        "objective": config.objective, "parameters": objective.settle(given, config.dataset)
    }
    if objective.needs_outliers:
        fields["outliers"] = config.outliers or DEFAULT_OUTLIERS
        fields["max_outliers"] = config.max_outliers
    return fields


def _check_acts(config, name, objectives):
    if config.objective not in objectives:
        raise InvalidInputError(
            f"Expected --{name} with --objective={' or '.join(objectives)} only. "
            f"Received: --objective={config.objective}"
        )
