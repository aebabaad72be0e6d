"""One recipe trained with several seeds beside the paper's numbers: means and spread over runs."""

import numpy as np

from kerasood.reporting.paper_numbers import METRICS
from kerasood.reporting.seeds import spread


def averaged(sections: list[dict]) -> dict:
    """Sections of one recipe as one, every measured number as mean and sample deviation (n - 1).

    A base that several fine-tunes share is one training run: it counts once.

    Args:
        sections: of the suite, with their comparisons, on the same sets.

    Returns:
        What a section's tables need: "dataset", "models" (their labels), "comparison", in which
        what was measured is {"mean", "std"} and a difference that of the mean; and "seeds" and
        "runs".
    """
    first = sections[0]
    tuned = [section["comparison"] for section in sections]
    bases = list({section["base"]: section["comparison"] for section in sections}.values())
    of_model = (bases, tuned)

    def average(model, *path):
        return _average([_at(comparison, path) for comparison in of_model[model]])

    comparison = {
        **tuned[0],
        "table1": [
            {**row, "models": [average(m, "table1", place, "models", m) for m in (0, 1)]}
            for place, row in enumerate(tuned[0]["table1"])
        ],
        "mean": {
            **tuned[0]["mean"], "models": [average(m, "mean", "models", m) for m in (0, 1)]
        },
        "table2": [
            average(row["method"] == "ours", "table2", place)
            for place, row in enumerate(tuned[0]["table2"])
        ],
        "accuracy": [average(m, "accuracy", m) for m in (0, 1)],
    }
    return {
        "title": first["title"],
        "dataset": first["dataset"],
        "models": [{"label": model["label"]} for model in first["models"]],
        "protocol": first["protocol"],
        "recipe": first["recipe"],
        "seeds": [section["models"][1]["seed"] for section in sections],
        "runs": [section["run"] for section in sections],
        "comparison": comparison,
    }


def _at(value, path):
    """Value below keys and positions."""
    for step in path:
        value = value[step]
    return value


def _average(compared: list[dict]) -> dict:
    """{"measured", "paper", "difference"} of several runs as one; the paper's are the same."""
    measured, differences = (
        [each[kind] for each in compared] for kind in ("measured", "difference")
    )
    if None in measured:
        return {**compared[0], "measured": None, "difference": None}
    together = _by_metric(lambda values: spread([_value(value) for value in values]), measured)
    difference = None
    if None not in differences:
        difference = _by_metric(lambda values: float(np.mean(values)), differences)
    return {**compared[0], "measured": together, "difference": difference}


def _by_metric(function, numbers: list):
    """A function of several numbers, or of those of every metric."""
    if isinstance(numbers[0], dict):
        return {name: function([each[name] for each in numbers]) for name in METRICS}
    return function(numbers)


def _value(number) -> float:
    return number["mean"] if isinstance(number, dict) else number
