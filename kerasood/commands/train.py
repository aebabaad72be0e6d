"""`python train.py`: pretrains a classifier, fine-tunes it for OOD detection, or both."""

import numpy as np
from rich.table import Table

from kerasood import training
from kerasood.commands.common import console
from kerasood.training.stages import last_epoch

COLUMNS = ("accuracy", "loss", "val_accuracy", "val_loss")


def train(config):
    """Trains the runs of a TrainConfig and prints what several seeds ended at.

    Args:
        config: TrainConfig.

    Returns:
        list of the Runs, one per seed and stage.
    """
    runs = training.train(config, verbose=1 if console.is_terminal else 2)
    if config.seeds:
        print_seeds(runs)
    return runs


def print_seeds(runs):
    """Prints the last epoch of every run, and mean and sample standard deviation over the seeds.

    Args:
        runs: list of complete Runs.
    """
    columns = {run.path: last_epoch(run) for run in runs}
    names = [name for name in COLUMNS if any(name in row for row in columns.values())]
    table = Table("run", "seed", *names, title="last epoch of every seed", title_justify="left")
    by_stage = {}
    for run in runs:
        by_stage.setdefault(run.config.name, []).append(run)
    for stage, same in by_stage.items():
        rows = [[columns[run.path].get(name, np.nan) for name in names] for run in same]
        for run, row in zip(same, rows, strict=True):
            table.add_row(stage, str(run.config.seed), *map(_cell, row))
        if len(same) > 1:
            table.add_row(stage, "mean", *map(_cell, np.mean(rows, axis=0)))
            table.add_row(stage, "std", *map(_cell, np.std(rows, axis=0, ddof=1)))
        table.add_section()
    console.print(table)


def _cell(value):
    return "-" if np.isnan(value) else f"{value:.4f}"
