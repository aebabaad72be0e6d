"""Training and fine-tuning: `fine_tune` for any model, `train` for run directories."""

from kerasood.training.config import StageConfig, TrainConfig, train_config
from kerasood.training.fine_tuning import FineTuned, fine_tune
from kerasood.training.recipe import Recipe
from kerasood.training.stages import train
from kerasood.training.trainers import (
    OBJECTIVES,
    CrossEntropyTraining,
    OutlierTraining,
    register_objective,
)

__all__ = [
    "OBJECTIVES",
    "CrossEntropyTraining",
    "FineTuned",
    "OutlierTraining",
    "Recipe",
    "StageConfig",
    "TrainConfig",
    "fine_tune",
    "register_objective",
    "train",
    "train_config",
]
