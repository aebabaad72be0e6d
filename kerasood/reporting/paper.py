"""Measured results beside the paper's: what is compared with what, and the differences."""

import numpy as np

from kerasood.data import registry
from kerasood.data.roles import count_note
from kerasood.evaluation.means import spread
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


def compare(*runs: dict) -> dict:
    """Sets the results of a base and its fine-tune beside the paper's.

    Stand-ins for a published set are shown, but neither compared nor part of a mean. Of several
    runs every measured number is {"mean", "std"}, the sample deviation (n - 1) over runs; a base
    that runs share is one training run and counts once.

    Args:
        runs: results of a data set of the paper, with the base first among models and its
            fine-tune second; of several, on the same sets, "base" says which base it is.
            "scored_by" names the detector that the fine-tune was made for, where it is not the
            energy: it gets a row of its own, which the paper has nothing beside.

    Returns:
        {"sets", "table1", "mean", "table2", "accuracy"}, JSON values; every comparison holds
        {"measured", "paper", "difference"} by metric as fractions, difference = measured - paper.
    """
    dataset = runs[0]["dataset"]["name"]
    sets = [_set_status(name, runs[0]["sets"]) for name in SETS]
    published = [entry["name"] for entry in sets if entry["status"] in COMPARABLE]
    measured = _Measured(runs)
    table1 = [
        {
            "set": entry["name"],
            "used": entry["used"],
            "models": [
                _compared(
                    measured.metrics(tuned, "energy", entry["used"]),
                    paper_numbers.on_set(dataset, bool(tuned), entry["name"]),
                    entry["status"] in COMPARABLE,
                )
                for tuned in (0, 1)
            ],
        }
        for entry in sets
    ]
    of_energy = [
        _compared(
            measured.metrics(tuned, "energy", published), _paper_mean(dataset, tuned, published)
        )
        for tuned in (0, 1)
    ]
    return {
        "sets": sets,
        "table1": table1,
        "mean": {
            "sets": published, "complete": len(published) == len(SETS), "models": of_energy
        },
        "table2": _table2(runs[0], measured, published, of_energy),
        "accuracy": [
            _difference(measured.accuracy(tuned), paper_numbers.accuracy(dataset, bool(tuned)))
            for tuned in (0, 1)
        ],
    }


def _table2(run, measured, published, of_energy):
    """The base's detectors and ours; the score that a fine-tune was made for, if it is another."""
    # The paper does not print the parts of its other detectors: they compare over all six sets.
    rows = [
        {"method": name, "paper_sets": len(SETS)}
        | _compared(
            measured.metrics(0, name, published),
            paper_numbers.mean_of_method(run["dataset"]["name"], name),
            len(published) == len(SETS),
        )
        for name in DETECTORS[:-1]
    ]
    for method, compared in zip(("energy", "ours"), of_energy, strict=True):
        rows.append({"method": method, "paper_sets": len(published), **compared})
    own = run.get("scored_by", "energy")
    if own != "energy":
        title = f"{run['models'][1]['label']}: {own}"
        of_own = _compared(measured.metrics(1, own, published), None)
        rows.append({"method": own, "title": title, "paper_sets": 0, **of_own})
    return rows


class _Measured:
    """Numbers of a base (0) and its fine-tune (1) over one or several runs."""

    def __init__(self, runs):
        # A base that runs share is one training run and counts once.
        self._runs = list({run.get("base"): run for run in runs}.values()), runs
        self._several = len(runs) > 1

    def metrics(self, tuned, detector, names):
        found = [_measured(run, tuned, detector, names) for run in self._runs[tuned]]
        if None in found:
            return None
        return {name: self._over_runs([each[name] for each in found]) for name in METRICS}

    def accuracy(self, tuned):
        return self._over_runs([run["models"][tuned]["accuracy"] for run in self._runs[tuned]])

    def _over_runs(self, numbers):
        """A number of the only run as it is; of several runs their mean and deviation."""
        return spread([_value(number) for number in numbers]) if self._several else numbers[0]


def averaged(sections: list[dict]) -> dict:
    """Sections of one recipe as one, over its training runs.

    Args:
        sections: of the suite, on the same sets.

    Returns:
        What a section's tables need, with the comparison over runs, and "seeds" and "runs".
    """
    first = sections[0]
    return {
        **{key: first[key] for key in ("title", "dataset", "protocol", "recipe")},
        "models": [{"label": model["label"]} for model in first["models"]],
        "seeds": [section["models"][1]["seed"] for section in sections],
        "runs": [section["run"] for section in sections],
        "comparison": compare(*sections),
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
    count = count_note(entry["name"], entry["num_images"])
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


def _measured(run: dict, tuned: int, detector: str, sets) -> dict | None:
    """{metric: number} of a model: as measured on the set of a name, the mean of a list of them."""
    key = run["models"][tuned]["key"]
    metrics = {(m["model"], m["detector"], m["set"]): m for m in run["metrics"]}
    names = sets if isinstance(sets, list) else [sets]
    found = [metrics.get((key, detector, name)) for name in names]
    if not found or None in found:
        return None
    if names is not sets:
        return {name: found[0][name] for name in METRICS}
    return {name: float(np.mean([metric[name]["mean"] for metric in found])) for name in METRICS}


def _paper_mean(dataset: str, tuned: int, names: list[str]) -> dict | None:
    return paper_numbers.mean_over(dataset, bool(tuned), names) if names else None


def _compared(measured: dict | None, paper: dict | None, comparable: bool = True) -> dict:
    difference = None
    if measured and paper and comparable:
        difference = {name: _value(measured[name]) - _value(paper[name]) for name in METRICS}
    return {"measured": measured, "paper": paper, "difference": difference}


def _difference(measured, paper: float) -> dict:
    return {"measured": measured, "paper": paper, "difference": _value(measured) - paper}


def _value(number) -> float:
    return number["mean"] if isinstance(number, dict) else number
