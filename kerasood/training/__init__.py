"""Training and fine-tuning: `fine_tune` for any model, `train` for run directories."""

import importlib

_MODULE_OF = {
    "OBJECTIVES": "trainers",
    "CrossEntropyTraining": "trainers",
    "FineTuned": "fine_tuning",
    "OutlierTraining": "trainers",
    "Recipe": "recipe",
    "StageConfig": "config",
    "TrainConfig": "options",
    "fine_tune": "fine_tuning",
    "register_objective": "trainers",
    "train": "stages",
    "train_config": "config",
}

__all__ = list(_MODULE_OF)


def __getattr__(name):
    # Not at once: the options of `train.py` are read before Keras is imported.
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"kerasood.training.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'kerasood.training' has no attribute {name!r}")


def __dir__():
    return __all__
