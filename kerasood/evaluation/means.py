"""Means of results: over the sets of a role, and over the seeds of a recipe."""

import numpy as np

from kerasood.evaluation.protocols import METRICS, ROLES

SPREAD = "± is the sample standard deviation (n - 1) over the n training runs of a recipe."


def means_by_role(metrics: list[dict], sets: list[dict]) -> list[dict]:
    """Plain means over the sets of each role, for every model and detector.

    Args:
        metrics: entries with model, detector, set and for each metric its mean.
        sets: entries with name and role.

    Returns:
        One entry per model, detector and role that has a set: model, detector, role, num_sets,
        fpr95, auroc, aupr_in, aupr_out; models and detectors in the order of `metrics`.
    """
    role_of = {entry["name"]: entry["role"] for entry in sets}
    groups: dict[tuple, list[dict]] = {}
    for entry in metrics:
        pair = (entry["model"], entry["detector"])
        for role in ROLES:
            group = groups.setdefault((*pair, role), [])
            if role_of[entry["set"]] == role:
                group.append(entry)
    return [
        {
            "model": model,
            "detector": detector,
            "role": role,
            "num_sets": len(group),
            **{
                name: float(np.mean([entry[name]["mean"] for entry in group]))
                for name in METRICS
            },
        }
        for (model, detector, role), group in groups.items()
        if group
    ]


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
