"""What the seeds of one command ended at, side by side."""

import csv

import numpy as np
from rich.table import Table

from kerasood.commands.common import console

COLUMNS = ("accuracy", "loss", "val_accuracy", "val_loss")


def print_seeds(runs):
    """Prints the last epoch of every run, and mean and standard deviation over the seeds.

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
        for run in same:
            row = columns[run.path]
            table.add_row(stage, str(run.config.seed), *(_cell([row.get(n)]) for n in names))
        if len(same) > 1:
            values = [[columns[run.path].get(name) for run in same] for name in names]
            table.add_row(stage, "mean +- std", *map(_cell, values), end_section=True)
    console.print(table)


def last_epoch(run):
    """The last row of a run's history: {quantity: float}."""
    with open(run.history, newline="", encoding="utf-8") as file:
        *_, row = csv.DictReader(file)
    return {name: float(value) for name, value in row.items()}


def _cell(values):
    if None in values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{np.mean(values):.4f} +- {np.std(values, ddof=1):.4f}"
