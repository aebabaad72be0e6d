"""Measured results beside the paper's: what is compared with what, and the differences."""

import numpy as np

from kerasood.data import registry
from kerasood.reporting import paper_numbers
from kerasood.reporting.paper_numbers import METRICS, SETS

COMPARABLE = ("published", "partial")
DETECTORS = ("msp", "odin", "mahalanobis", "energy")
TITLES = {
    "msp": "MSP",
    "odin": "ODIN",
    "mahalanobis": "Mahalanobis",
    "energy": "Energy",
    "ours": "Ours: energy after fine-tuning",
}


def compare(results: dict) -> dict:
    """Sets the results of a base and its fine-tune beside the paper's.

    Stand-ins for a published set are shown, but neither compared nor part of a mean.

    Args:
        results: of a data set of the paper, with the base first among models and its fine-tune
            second.

    Returns:
        {"sets", "table1", "mean", "table2", "accuracy"}, JSON values; every comparison holds
        {"measured", "paper", "difference"} by metric as fractions, difference = measured - paper.
    """
    dataset = results["dataset"]["name"]
    keys = [model["key"] for model in results["models"]]
    sets = [_set_status(name, results["sets"]) for name in SETS]
    published = [entry["name"] for entry in sets if entry["status"] in COMPARABLE]
    metrics = {(m["model"], m["detector"], m["set"]): m for m in results["metrics"]}

    def mean(key, detector):
        return _mean([metrics.get((key, detector, name)) for name in published])

    table1 = [
        {
            "set": entry["name"],
            "used": entry["used"],
            "models": [
                _on_set(metrics.get((key, "energy", entry["used"])), dataset, tuned, entry)
                for tuned, key in enumerate(keys)
            ],
        }
        for entry in sets
    ]
    of_energy = [
        _compared(mean(key, "energy"), _paper_mean(dataset, tuned, published))
        for tuned, key in enumerate(keys)
    ]
    table2 = [
        _of_detector(name, mean(keys[0], name), dataset, published) for name in DETECTORS[:-1]
    ]
    for method, compared in zip(("energy", "ours"), of_energy, strict=True):
        table2.append({"method": method, "paper_sets": len(published), **compared})
    return {
        "sets": sets,
        "table1": table1,
        "mean": {"sets": published, "complete": len(published) == len(SETS), "models": of_energy},
        "table2": table2,
        "accuracy": [
            _difference(model["accuracy"], paper_numbers.accuracy(dataset, tuned))
            for tuned, model in enumerate(results["models"])
        ],
    }


def _set_status(name: str, sets: list[dict]) -> dict:
    """Status of one of the paper's sets: its own images, some of them, others, or none."""
    spec = registry.DATASETS[name]
    by_name = {entry["name"]: entry for entry in sets}
    if name in by_name:
        used = by_name[name]
        complete = used["num_images"] >= spec.published_images
        status = "published" if complete else "partial"
    else:
        used = next((by_name[other] for other in stand_ins(name) if other in by_name), None)
        status = "stand-in" if used else "missing"
    return {
        "name": name,
        "title": spec.title,
        "status": status,
        "used": used and used["name"],
        "used_title": used and used["title"],
        "num_images": used and used["num_images"],
        "published_images": spec.published_images,
        "note": _without_count(used) if used else "",
    }


def _without_count(entry: dict) -> str:
    """The note of a set without the number of its images, which its status says."""
    count = registry.count_note(entry["name"], entry["num_images"])
    return entry["note"].removeprefix(count).removeprefix("; ")


def stand_ins(name: str) -> list[str]:
    """Registered sets that may replace one of the paper's."""
    title = registry.DATASETS[name].title
    return [spec.name for spec in registry.DATASETS.values() if spec.stand_in_for == title]


def status_text(entry: dict) -> str:
    """The images of one of the paper's sets in words, for a table."""
    published = f"{entry['published_images']:,}"
    if entry["status"] == "missing":
        return "missing"
    count = f"{entry['num_images']:,}"
    if entry["status"] == "stand-in":
        return f"stand-in: {count} images of {entry['used_title']}"
    if entry["status"] == "partial":
        return f"partial: {count} of {published} images"
    return f"published: {count if count == published else f'{count} images, usually {published}'}"


def row_title(entry: dict) -> str:
    """Names the images of a row: a stand-in never under the name of what it replaces."""
    if entry["status"] == "stand-in":
        return f"{entry['used_title']} (for {entry['title']})"
    if entry["status"] == "missing":
        return f"{entry['title']} (missing)"
    if entry["status"] == "partial":
        return f"{entry['title']} ({entry['num_images']:,} of {entry['published_images']:,})"
    return entry["title"]


def mean_title(comparison: dict) -> str:
    """Over which sets the means are."""
    titles = [registry.DATASETS[name].title for name in comparison["mean"]["sets"]]
    if comparison["mean"]["complete"]:
        return "Mean of the six sets"
    return f"Mean of {len(titles)} of six sets ({', '.join(titles) or 'none'})"


def _on_set(metric: dict | None, dataset: str, tuned: bool, entry: dict) -> dict:
    measured = metric and {name: metric[name] for name in METRICS}
    paper = paper_numbers.on_set(dataset, bool(tuned), entry["name"])
    if entry["status"] not in COMPARABLE:
        return {"measured": measured, "paper": paper, "difference": None}
    difference = {
        name: _difference(measured[name]["mean"], paper[name]["mean"])["difference"]
        for name in METRICS
    }
    return {"measured": measured, "paper": paper, "difference": difference}


def _of_detector(name: str, measured: dict | None, dataset: str, published: list[str]) -> dict:
    """A row of Table 2 whose parts the paper does not print: comparable over all six sets only."""
    paper = paper_numbers.mean_of_method(dataset, name)
    compared = {"method": name, "paper_sets": len(SETS), **_compared(measured, paper)}
    if len(published) < len(SETS):
        compared["difference"] = None
    return compared


def _mean(metrics: list[dict | None]) -> dict | None:
    if not metrics or None in metrics:
        return None
    return {name: float(np.mean([metric[name]["mean"] for metric in metrics])) for name in METRICS}


def _paper_mean(dataset: str, tuned: bool, names: list[str]) -> dict | None:
    return paper_numbers.mean_over(dataset, bool(tuned), names) if names else None


def _compared(measured: dict | None, paper: dict | None) -> dict:
    difference = None
    if measured and paper:
        difference = {name: measured[name] - paper[name] for name in METRICS}
    return {"measured": measured, "paper": paper, "difference": difference}


def _difference(measured: float, paper: float) -> dict:
    return {"measured": measured, "paper": paper, "difference": measured - paper}
