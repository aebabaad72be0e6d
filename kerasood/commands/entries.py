"""Entry points: flags are parsed, and --help is answered, before Keras is imported."""

import functools
import importlib

from kerasood.commands.common import run_command
from kerasood.commands.help import HELP, help_text
from kerasood.config import ConvertConfig, EvaluateConfig, MonitorConfig, ScoreConfig
from kerasood.export.config import ExportConfig
from kerasood.training.options import TrainConfig

# The configuration of each, and its function in the module of that name.
COMMANDS = {
    "train": (TrainConfig, "train"),
    "evaluate": (EvaluateConfig, "evaluate"),
    "export": (ExportConfig, "export"),
    "convert": (ConvertConfig, "convert"),
    "score": (ScoreConfig, "score"),
    "monitor": (MonitorConfig, "alert"),
}


def _main(name):
    config_class, function = COMMANDS[name]

    def command(config):
        getattr(importlib.import_module(f"kerasood.commands.{name}"), function)(config)

    run_command(config_class, command, lambda: help_text(config_class, HELP[name]))


train, evaluate, export, convert, score, monitor = (
    functools.partial(_main, name) for name in COMMANDS
)
