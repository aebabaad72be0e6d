"""One recipe trained with several seeds: mean and spread over the training runs."""

import numpy as np

from kerasood.evaluation.protocols import METRICS

SPREAD = "± is the sample standard deviation (n - 1) over the n training runs of a recipe."


def over_seeds(results: dict, groups: list[dict]) -> list[dict]:
    """Mean and sample standard deviation over the models of each group.

    Args:
        results: with models, metrics and means.
        groups: [{"label", "models": keys, "seeds"}].

    Returns:
        Per group label, models, seeds, accuracy, metrics (per detector and set) and means (per
        detector and role); every number as {"mean", "std"}, std None for a single model. An
        empty list when no group has two models.
    """
    if all(len(group["models"]) < 2 for group in groups):
        return []
    accuracies = {model["key"]: model["accuracy"] for model in results["models"]}
    return [
        {
            **group,
            "accuracy": spread([accuracies[key] for key in group["models"]]),
            "metrics": _gathered(results["metrics"], "set", group["models"]),
            "means": _gathered(results["means"], "role", group["models"]),
        }
        for group in groups
    ]


def spread(values: list[float]) -> dict:
    """{"mean", "std"} with the sample standard deviation (n - 1), None for a single value."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std}


def _gathered(entries: list[dict], of: str, models: list[str]) -> list[dict]:
    """Entries of several models as one per detector and set or role, in their order."""
    gathered: dict[tuple, list[dict]] = {}
    for entry in entries:
        if entry["model"] in models:
            gathered.setdefault((entry["detector"], entry[of]), []).append(entry)
    return [
        {
            "detector": detector,
            of: name,
            **{metric: spread([_value(entry[metric]) for entry in found]) for metric in METRICS},
        }
        for (detector, name), found in gathered.items()
    ]


def _value(metric) -> float:
    return metric["mean"] if isinstance(metric, dict) else metric
