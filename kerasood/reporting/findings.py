"""What the results say, shared by the Markdown report, the terminal table and the HTML page."""

import dataclasses

from kerasood.evaluation.protocols import ROLES

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
    short: str = ""

    @property
    def heading(self) -> str:
        return f"{self.title} {'↓' if self.lower_is_better else '↑'}"


_FPR95 = Column("fpr95", "FPR95", lower_is_better=True)
_AUROC = Column("auroc", "AUROC", lower_is_better=False)
# By the positive class; OpenOOD prints both AUPRs.
COLUMNS = {
    "in": (_FPR95, _AUROC, Column("aupr_in", "AUPR", lower_is_better=False)),
    "out": (
        _FPR95,
        _AUROC,
        Column("aupr_in", "AUPR-in", lower_is_better=False, short="AUPRi"),
        Column("aupr_out", "AUPR-out", lower_is_better=False, short="AUPRo"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number of a table: a fraction, its deviation over draws, and whether none is better."""

    value: float | None
    std: float | None = None
    best: bool = False

    @property
    def text(self) -> str:
        spread = "" if self.std is None else f" ± {100 * self.std:.2f}"
        return f"{percent(self.value)}{spread}"


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the comparison: an OOD set, or the mean over a role; `cells` by model."""

    role: str
    title: str
    note: str
    is_mean: bool
    cells: dict[str, tuple[Cell, ...]]


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
        self.positive = results["protocol"].get("positive", "in")
        self.columns = COLUMNS[self.positive]
        self.labels = {model["key"]: model["label"] for model in self.models}
        self._metrics = {
            (entry["model"], entry["detector"], entry["set"]): entry for entry in results["metrics"]
        }
        self._means = {
            (entry["model"], entry["detector"], entry["role"]): entry for entry in results["means"]
        }
        self._thresholds = {
            (entry["model"], entry["detector"]): entry for entry in results["thresholds"]
        }

    @property
    def convention(self) -> str:
        """Which class is positive, short enough for the head of a table."""
        return "ID positive" if self.positive == "in" else "OOD positive"

    @property
    def roles(self) -> list[str]:
        """The roles that have at least one set, in the order of the tables."""
        return [role for role in ROLES if self.of_role(role)]

    def of_role(self, role: str) -> list[dict]:
        return [entry for entry in self.sets if entry["role"] == role]

    def threshold(self, model: str, detector: str | None = None) -> dict | None:
        """The thresholds entry of a model and a detector (the primary one by default)."""
        return self._thresholds.get((model, detector or self.primary))

    def metric(self, model: str, detector: str, set_name: str) -> dict | None:
        return self._metrics.get((model, detector, set_name))

    def mean(self, model: str, detector: str, role: str) -> dict | None:
        return self._means.get((model, detector, role))

    def rows(self) -> list[Row]:
        """The comparison of all models by the primary detector: sets by role, then their mean."""
        return [row for role in self.roles for row in self._rows_of(role)]

    def detector_rows(self, role: str) -> list[Row]:
        """The means over the sets of a role, one row per detector."""
        rows = []
        for detector in self.results["detectors"]:
            means = {key: self.mean(key, detector, role) for key in self.labels}
            rows.append(Row(role, detector, "", False, cells_of(means, self.columns)))
        return rows

    def headline(self) -> str:
        """What the fine-tuning did, in one sentence, whichever way it went."""
        return "; ".join(self.told()) + "."

    def told(self) -> list[str]:
        """The parts of the headline: the first model, then what each other model changes."""
        if not self.roles or not self.models:
            return ["No OOD set was at hand, so there is nothing to compare"]
        role = self.roles[0]
        first, *others = self.models
        before = self.mean(first["key"], self.primary, role)
        sets = count_of_sets(len(self.of_role(role)), role)
        if before is None:
            return [f"{first['label']} has no result on {sets}"]
        does = f"accepts {percent(before['fpr95'])} % of OOD images at 95 % ID recall"
        if self.positive == "out":
            does = f"flags {percent(before['fpr95'])} % of ID images at 95 % OOD recall"
        start = (
            f"{first['label']} {does} (mean of {sets}, {self.primary}; AUROC "
            f"{percent(before['auroc'])}, accuracy {percent(first['accuracy'])} %)"
        )
        means = [(model, self.mean(model["key"], self.primary, role)) for model in others]
        return [start, *(_change(before, after, model) for model, after in means if after)]

    def notes(self) -> list[tuple[str, str]]:
        """Title and note of every set that has a note: stand-ins, sets too small for a draw."""
        return [(entry["title"], entry["note"]) for entry in self.sets if entry.get("note")]

    def _rows_of(self, role: str) -> list[Row]:
        rows = []
        for entry in self.of_role(role):
            metrics = {key: self.metric(key, self.primary, entry["name"]) for key in self.labels}
            cells = cells_of(metrics, self.columns)
            rows.append(Row(role, entry["title"], entry.get("note", ""), False, cells))
        title = f"Mean of {count_of_sets(len(rows), role)}"
        means = {key: self.mean(key, self.primary, role) for key in self.labels}
        return [*rows, Row(role, title, "", True, cells_of(means, self.columns))]


def percent(fraction: float | None) -> str:
    """A fraction as percent with two decimals; a dash where there is none."""
    return "–" if fraction is None else f"{100 * fraction:.2f}"


def count_of_sets(number: int, role: str) -> str:
    return f"{number} {role} set{'' if number == 1 else 's'}"


def _change(before: dict, after: dict, model: dict) -> str:
    points = round(100 * after["fpr95"], 2) - round(100 * before["fpr95"], 2)
    moved = f"{'lowers' if points < 0 else 'raises'} this by {abs(points):.2f} points to"
    if abs(points) < 0.005:
        moved = "leaves this at"
    auroc, accuracy = percent(after["auroc"]), percent(model["accuracy"])
    return (
        f"{model['label']} {moved} {percent(after['fpr95'])} % "
        f"(AUROC {auroc}, accuracy {accuracy} %)"
    )


def cells_of(entries: dict, columns: tuple[Column, ...]) -> dict[str, tuple[Cell, ...]]:
    """Cells by model, the best of each column marked: equal as printed is equally good."""
    of_columns = [_column(entries, column) for column in columns]
    return {key: tuple(column[key] for column in of_columns) for key in entries}


def _column(entries: dict[str, dict | None], column: Column) -> dict[str, Cell]:
    cells = {}
    for key, entry in entries.items():
        content = None if entry is None else entry[column.key]
        if isinstance(content, dict):
            cells[key] = Cell(content["mean"], content["std"])
        else:
            cells[key] = Cell(content)
    printed = {
        key: round(100 * cell.value, 2) for key, cell in cells.items() if cell.value is not None
    }
    if len(printed) < 2:
        return cells
    best = (min if column.lower_is_better else max)(printed.values())
    return {
        key: dataclasses.replace(cell, best=printed.get(key) == best) for key, cell in cells.items()
    }
