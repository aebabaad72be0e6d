"""One recipe trained with several seeds: mean and spread over the training runs."""

import numpy as np

from kerasood.evaluation.protocols import METRICS
from kerasood.reporting.findings import Cell, Findings, Row, cells_of, count_of_sets

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


def seed_titles(findings: Findings) -> dict[int, str]:
    """Every recipe with the number of its training runs; empty where no recipe has several."""
    return {
        index: f"{group['label']}, n = {len(group['models'])}, accuracy "
        + Cell(group["accuracy"]["mean"], group["accuracy"]["std"]).text
        for index, group in enumerate(findings.results.get("seeds", []))
    }


def seed_rows(findings: Findings, role: str) -> list[Row]:
    """As `Findings.rows` of one role, over seeds; `cells` by the keys of `seed_titles`."""
    sets = findings.of_role(role)
    rows = [
        Row(role, entry["title"], "", False, _cells(findings, "metrics", "set", entry["name"]))
        for entry in sets
    ]
    title = f"Mean of {count_of_sets(len(sets), role)}"
    return [*rows, Row(role, title, "", True, _cells(findings, "means", "role", role))]


def _cells(findings: Findings, part: str, of: str, name: str) -> dict:
    wanted = {"detector": findings.primary, of: name}
    found = {
        index: next((entry for entry in group[part] if wanted.items() <= entry.items()), None)
        for index, group in enumerate(findings.results["seeds"])
    }
    return cells_of(found, findings.columns)


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
