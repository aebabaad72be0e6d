"""Configuration of one training run, and what it takes from that of `train.py`."""

import dataclasses
import typing

from kerasood.errors import InvalidInputError
from kerasood.training.options import TrainConfig
from kerasood.training.recipe import PRESETS, Recipe
from kerasood.training.trainers import OBJECTIVES, objective_named

DEFAULT_OUTLIERS = "imagenet32"



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
    def from_dict(cls, stored: dict) -> "StageConfig":
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
    def split_seed(self) -> int:
        """Seed of what `holdout` keeps out: the base's, also in fine-tunes of other seeds."""
        return self.seed if self.holdout_seed is None else self.holdout_seed

    @property
    def objective_parameters(self) -> dict:
        """All parameters of the objective: given, usual and derived ones."""
        return {**self.parameters, **(self.derived or {})}

    @property
    def name(self) -> str:
        """Name of the run directory: pretrain, pretrain-logit_norm, finetune-sparsity-logits..."""
        if self.stage == "pretrain" and self.objective == "ce":
            return self.stage
        return "-".join([self.stage, self.objective, *self._differing("")])

    @property
    def label(self) -> str:
        """The run in a table: base, base logit_norm, + sparsity (logits, weight 0.05)..."""
        if self.stage == "pretrain" and self.objective == "ce":
            return "base"
        differing = ", ".join(self._differing(" "))
        sign = "base" if self.stage == "pretrain" else "+"
        return f"{sign} {self.objective}" + (f" ({differing})" if differing else "")

    def _differing(self, between):
        """Differences from the objective's usual run: ["logits", "weight0.05"]."""
        if self.objective not in OBJECTIVES:
            return [str(value) for value in self.parameters.values() if isinstance(value, str)]
        differing = OBJECTIVES[self.objective].differing(self.parameters)
        return [
            value if isinstance(value, str) else f"{name}{between}{value:g}"
            for name, value in differing.items()
        ]


def train_config(dataset: str = "cifar10", **values: typing.Any) -> TrainConfig:
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
            **_objective_fields(config, config.pretrain_objective),
            **shared,
        )
    return StageConfig(
        stage=stage,
        init=init,
        dropout=config.finetune_dropout,
        epochs=config.finetune_epochs,
        learning_rate=config.finetune_learning_rate,
        **_objective_fields(config, config.objective),
        **shared,
    )


def _objective_fields(config, name):
    """Fields that the objective of a stage adds to its StageConfig."""
    objective = objective_named(name)
    given = {name: value for name, value in config.parameters.items() if value is not None}
    for flag in given:
        takers = [other for other, kind in OBJECTIVES.items() if flag in kind.own_parameters()]
        _check_acts(config, flag, takers)
    for flag in ("outliers", "max_outliers"):
        if getattr(config, flag) is not None:
            needing = [other for other, kind in OBJECTIVES.items() if kind.needs_outliers]
            _check_acts(config, flag, needing)
    if config.outliers == config.dataset:
        raise InvalidInputError(
            "Expected outliers other than the in-distribution images. Received: "
            f"--outliers={config.outliers} for both"
        )
    own = {flag: value for flag, value in given.items() if flag in objective.own_parameters()}
    fields = {"objective": name, "parameters": objective.settle(own, config.dataset)}
    if objective.needs_outliers:
        fields["outliers"] = config.outliers or DEFAULT_OUTLIERS
        fields["max_outliers"] = config.max_outliers
    return fields


def _check_acts(config, flag, objectives):
    trained = {"pretrain": config.pretrain_objective, "finetune": config.objective}
    if config.stage != "all":
        trained = {config.stage: trained[config.stage]}
    if not set(trained.values()) & set(objectives):
        received = " ".join(
            f"--{'pretrain_' if stage == 'pretrain' else ''}objective={name}"
            for stage, name in trained.items()
            if name != "ce" or stage == "finetune"
        )
        raise InvalidInputError(
            f"Expected --{flag} with --objective={' or '.join(objectives)} only. "
            f"Received: {received or '--stage=pretrain'}"
        )
