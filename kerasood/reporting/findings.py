"""Findings of an evaluation: numbers looked up, over seeds, beside the own base."""

import dataclasses

import numpy as np

from kerasood.evaluation.means import spread
from kerasood.evaluation.protocols import ROLES
from kerasood.reporting.blocks import Cell

ROLE_TITLES = {
    "far": "Far OOD",
    "near": "Near OOD",
    "other": "Other OOD",
    "synthetic": "Synthetic OOD",
}


@dataclasses.dataclass(frozen=True)
class Column:
    """A metric as tables show it."""

    key: str
    title: str
    lower_is_better: bool

    @property
    def heading(self) -> str:
        return f"{self.title} {'↓' if self.lower_is_better else '↑'}"


FPR95 = Column("fpr95", "FPR95", lower_is_better=True)
AUROC = Column("auroc", "AUROC", lower_is_better=False)
# By the positive class; OpenOOD prints both AUPRs.
COLUMNS = {
    "in": (FPR95, AUROC, Column("aupr_in", "AUPR", lower_is_better=False)),
    "out": (
        FPR95,
        AUROC,
        Column("aupr_in", "AUPR-in", lower_is_better=False),
        Column("aupr_out", "AUPR-out", lower_is_better=False),
    ),
}


@dataclasses.dataclass(frozen=True)
class Group:
    """The training runs of one recipe, or one model that stands alone.

    Args:
        label: heads its columns.
        models: keys of the models.
        bases: for each of them the key of the model that it was fine-tuned from, or None.
    """

    label: str
    models: tuple[str, ...]
    bases: tuple[str | None, ...]

    @property
    def is_tuned(self) -> bool:
        """True where its models came from others."""
        return any(self.bases)

    @property
    def title(self) -> str:
        return f"{self.label}, n = {len(self.models)}" if len(self.models) > 1 else self.label


class Findings:
    """The results dictionary of an evaluation, with what the reports look up in it.

    Args:
        results: as saved in results.json.
    """

    def __init__(self, results: dict):
        self.results = results
        self.models = results["models"]
        self.sets = results["sets"]
        self.primary = results["primary"]
        self.detectors = results["detectors"]
        self.positive = results["protocol"].get("positive", "in")
        self.columns = COLUMNS[self.positive]
        self.labels = {model["key"]: model["label"] for model in self.models}
        self.groups = self._groups()
        self._entries = {
            (of, entry["model"], entry["detector"], entry[of]): entry
            for part, of in (("metrics", "set"), ("means", "role"))
            for entry in results[part]
        }
        self._thresholds = {
            (entry["model"], entry["detector"]): entry for entry in results["thresholds"]
        }

    @property
    def convention(self) -> str:
        """The positive class, in words short enough for the head of a table."""
        return "ID positive" if self.positive == "in" else "OOD positive"

    @property
    def roles(self) -> list[str]:
        """The roles that have at least one set, in the order of the tables."""
        return [role for role in ROLES if self.of_role(role)]

    @property
    def families(self) -> list[list[Group]]:
        """Groups that are compared with each other: a base first, then what came from it.

        Where no model says where it came from, all stand side by side.
        """
        if not any(group.is_tuned for group in self.groups):
            return [self.groups] if self.groups else []
        home = {key: group for group in self.groups for key in group.models}
        families: dict[str, list[Group]] = {}
        for group in self.groups:
            base = home.get(group.bases[0], group)
            families.setdefault(base.label, [base])
            if group is not base:
                families[base.label].append(group)
        return list(families.values())

    def of_role(self, role: str) -> list[dict]:
        return [entry for entry in self.sets if entry["role"] == role]

    def threshold(self, model: str, detector: str | None = None) -> dict | None:
        """The thresholds entry of a model and a detector (the primary one by default)."""
        return self._thresholds.get((model, detector or self.primary))

    def metric(self, model: str, detector: str, set_name: str) -> dict | None:
        return self._entries.get(("set", model, detector, set_name))

    def mean(self, model: str, detector: str, role: str) -> dict | None:
        return self._entries.get(("role", model, detector, role))

    def number(self, group: Group, detector: str, of: str, name: str, metric: str) -> dict:
        """A metric of a group: {"mean", "std"} with None for what there is not.

        Args:
            group: Group; over several runs the deviation is that over runs.
            detector: its name.
            of: "set" or "role".
            name: of the set or role.
            metric: key of a Column.
        """
        found = [self._entries.get((of, key, detector, name)) for key in group.models]
        values = [entry[metric] for entry in found if entry is not None]
        if not values or None in values:
            return {"mean": None, "std": None}
        if len(values) == 1 and isinstance(values[0], dict):
            return values[0]
        return spread([value["mean"] if isinstance(value, dict) else value for value in values])

    def flagged(self, group: Group, detector: str, set_name: str) -> float | None:
        """Share of a set above the calibrated thresholds, the mean over the group's models."""
        entries = [self.threshold(key, detector) for key in group.models]
        shares = [entry["flagged"].get(set_name) for entry in entries if entry]
        return float(np.mean(shares)) if shares and None not in shares else None

    def rank(self, group: Group, detector: str, role: str) -> tuple[float, float]:
        """A key to sort by, the best first: mean FPR95 as printed over a role's sets, then AUROC.

        It is infinite where there is no such mean.
        """
        fpr95, auroc = (
            self.number(group, detector, "role", role, metric)["mean"]
            for metric in ("fpr95", "auroc")
        )
        return (np.inf, 0) if fpr95 is None else (round(fpr95, 4), -auroc)

    def ranked(self, group: Group, role: str) -> list[str]:
        """The detectors, the best first; see `rank`."""
        return sorted(self.detectors, key=lambda detector: self.rank(group, detector, role))

    def notes(self) -> list[tuple[str, str]]:
        """Title and note of every set that has a note: stand-ins, sets too small for a draw."""
        return [(entry["title"], entry["note"]) for entry in self.sets if entry.get("note")]

    def _groups(self) -> list[Group]:
        bases = {model["key"]: model.get("base") for model in self.models}
        groups = self.results.get("seeds") or [
            {"label": model["label"], "models": [model["key"]]} for model in self.models
        ]
        return [
            Group(entry["label"], tuple(entry["models"]),
                  tuple(bases.get(key) for key in entry["models"]))
            for entry in groups
        ]


def percent(fraction: float | None) -> str:
    """A fraction as percent with two decimals; a dash where there is none."""
    return "–" if fraction is None else f"{100 * fraction:.2f}"


def cell_of(number) -> Cell:
    """A fraction, or {"mean", "std"}, as a cell."""
    if not isinstance(number, dict):
        return Cell(percent(number))
    return Cell(percent(number["mean"]), "" if number["std"] is None else percent(number["std"]))


def with_best(numbers: list[dict], column: Column) -> list[Cell]:
    """Cells of {"mean", "std"}, the best marked: equal as printed is equally good."""
    cells = [cell_of(number) for number in numbers]
    printed = [float(cell.text) for cell in cells if cell.text != "–"]
    if len(printed) < 2:
        return cells
    best = (min if column.lower_is_better else max)(printed)
    return [
        dataclasses.replace(cell, style="best" if cell.text == f"{best:.2f}" else "")
        for cell in cells
    ]


def count_of_sets(number: int, role: str) -> str:
    return f"{number} {role} set{'' if number == 1 else 's'}"
