"""Options of `train.py`, the objectives' parameters among them."""

import dataclasses

from kerasood.config import ReadsData, option
from kerasood.errors import (
    InvalidInputError,
    check_fraction,
    check_not_negative,
    check_positive,
    check_whole,
    check_whole_or_none,
)
from kerasood.training.declared import declared_objectives
from kerasood.training.recipe import Recipe

FINE_TUNE = Recipe()
# Flags of the other stage, and the one that acts in a stage instead, where there is one.
IDLE = {
    "pretrain": {
        "objective": "pretrain_objective",
        "finetune_epochs": "pretrain_epochs",
        "finetune_dropout": "dropout",
        "finetune_learning_rate": "pretrain_learning_rate",
    },
    "finetune": {
        "depth": None,
        "width": None,
        "dropout": "finetune_dropout",
        "pretrain_objective": "objective",
        "pretrain_epochs": "finetune_epochs",
        "pretrain_learning_rate": "finetune_learning_rate",
    },
    "all": {},
}


def _objective_options():
    """A dataclass with the parameters of all objectives, None where not given."""
    lines, kinds = {}, {}
    for name, parameters in declared_objectives().items():
        for parameter, described in parameters.items():
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
    objective: str = option(
        "sparsity", "Objective of the fine-tune.", lambda: tuple(declared_objectives())
    )
    pretrain_objective: str = option(
        "ce", "Objective of the pretrain stage.", lambda: tuple(declared_objectives())
    )
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
            names = f"{stage}_epochs", f"{stage}_learning_rate"
            check_positive(**{name: getattr(self, name) for name in names})
        check_whole(1, batch_size=self.batch_size)
        check_whole_or_none(1, max_outliers=self.max_outliers)
        names = "final_learning_rate", "weight_decay", "crop", "seed"
        check_not_negative(**{name: getattr(self, name) for name in names})
        check_fraction(momentum=self.momentum)

    def check_given(self, names: set) -> None:
        """Refuses flags of the stage that is not trained.

        Args:
            names: set of the flags that were given.

        Raises:
            ValueError: names one, and the flag that acts instead.
        """
        # These name the base, where nothing else does.
        naming = () if self.init else ("pretrain_objective",)
        naming += () if self.init or self.out else ("depth", "width")
        for name, acting in IDLE[self.stage].items():
            if name in names and name not in naming:
                expected = f"--{acting}" if acting else "a base of that size (--init)"
                raise InvalidInputError(
                    f"Expected {expected} with --stage={self.stage}. "
                    f"Received: --{name}={getattr(self, name)}, which would not act"
                )
