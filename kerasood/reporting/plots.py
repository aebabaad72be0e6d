"""ROC curves, score densities and accuracy before and after, as matplotlib figures."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasood.metrics import roc_curve
from kerasood.reporting.curves import common_range, density, thin
from kerasood.reporting.drawing import (
    HAIRLINE,
    IN_COLOUR,
    INK,
    MUTED,
    OUT_COLOUR,
    clean_axes,
    model_colour,
    new_figure,
    shorten,
    to_svg,
    write,
)
from kerasood.reporting.findings import Findings, percent

__all__ = ["accuracy_figure", "density_figure", "roc_figure", "to_svg"]

_WIDTH = 9.6
_MARGIN = 0.2
_NAMES = 1.5


def roc_figure(results: dict, scores: dict, detector: str | None = None) -> Figure:
    """One panel per OOD set with the ROC curves of all models, and their FPR95 as a dot.

    Args:
        results: as saved in results.json.
        scores: {(model, detector, set): (N,) scores}, ID images under the set name "in".
        detector: whose scores; the primary detector's by default.

    Returns:
        A matplotlib figure.
    """
    findings = Findings(results)
    detector = detector or findings.primary
    columns = 4 if len(findings.sets) in (4, 7, 8) or len(findings.sets) > 9 else 3
    rows = -(-len(findings.sets) // columns)
    panel = (_WIDTH - _MARGIN) / columns
    height = rows * panel + 0.55
    figure = new_figure(_WIDTH, height)
    _model_legend(figure, findings, height)
    for index, entry in enumerate(findings.sets):
        row, column = divmod(index, columns)
        left = (_MARGIN + column * panel + 0.4) / _WIDTH
        bottom = (height - 0.15 - (row + 1) * panel + 0.12) / height
        axes = figure.add_axes((left, bottom, (panel - 0.6) / _WIDTH, (panel - 0.6) / height))
        _roc_panel(axes, findings, scores, detector, entry)
        lowest_in_column = index + columns >= len(findings.sets)
        if lowest_in_column:
            axes.set_xlabel("OOD images accepted", fontsize=8, color=MUTED)
        if column == 0:
            axes.set_ylabel("ID images accepted", fontsize=8, color=MUTED)
    return figure


def density_figure(results: dict, scores: dict, detector: str | None = None) -> Figure:
    """Densities of ID and OOD scores, a row per OOD set and a column per model.

    Every curve is scaled to its own peak. The dashed line is the calibrated threshold; the number
    at the right is the share of the set's images above it.

    Args:
        results: as saved in results.json.
        scores: {(model, detector, set): (N,) scores}, ID images under the set name "in".
        detector: whose scores; the primary detector's by default.

    Returns:
        A matplotlib figure.
    """
    findings = Findings(results)
    detector = detector or findings.primary
    num_rows = max(len(findings.sets), 1)
    height = 1.5 + 0.55 * num_rows
    figure = new_figure(_WIDTH, height)
    panel = (_WIDTH - _NAMES) / max(len(findings.models), 1)
    for index, model in enumerate(findings.models):
        left = (_NAMES + index * panel) / _WIDTH
        box = (left, 0.5 / height, (panel - 0.62) / _WIDTH, (height - 1.3) / height)
        axes = figure.add_axes(box)
        clean_axes(axes)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))
        axes.set_ylim(-0.1, num_rows)
        axes.set_xlabel(f"{detector} score", fontsize=8, color=MUTED)
        title = shorten(model["label"], int(panel * 11))
        write(axes, 0, 1 + 0.3 / (height - 1.3), title, weight="bold", transform=axes.transAxes)
        _density_panel(axes, findings, scores, model["key"], detector)
        if index == 0:
            for row, entry in enumerate(findings.sets):
                name = shorten(entry["title"], 20)
                _beside(axes, -0.03, num_rows - 1 - row + 0.3, name, ha="right")
    _density_legend(figure, height)
    return figure


def accuracy_figure(results: dict) -> Figure:
    """Accuracy on the ID test images, a bar per model, with the difference to the first.

    Args:
        results: as saved in results.json.

    Returns:
        A matplotlib figure.
    """
    models = results["models"]
    height = 0.25 + 0.38 * len(models)
    figure = new_figure(_WIDTH, height)
    axes = figure.add_axes((0.24, 0.02, 0.58, 0.96))
    clean_axes(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(models) - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)
    for index, model in enumerate(models):
        axes.barh(index, 1, height=0.5, color=HAIRLINE, alpha=0.5)
        axes.barh(index, model["accuracy"], height=0.5, color=model_colour(index))
        _beside(axes, -0.015, index, shorten(model["label"], 32), ha="right")
        points = 100 * (model["accuracy"] - models[0]["accuracy"])
        difference = f"  ({points:+.2f})".replace("-", "−") if index else ""
        _beside(axes, 1.015, index, f"{percent(model['accuracy'])} %{difference}")
    return figure


def _roc_panel(axes, findings: Findings, scores: dict, detector: str, entry: dict) -> None:
    clean_axes(axes)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
    axes.set_yticks([0, 0.5, 0.95], ["0", "50", "95 %"])
    axes.plot([0, 1], [0, 1], color=HAIRLINE, linewidth=0.8)
    (axes.axhline if findings.positive == "in" else axes.axvline)(
        0.95 if findings.positive == "in" else 0.05, color=HAIRLINE, linewidth=0.8
    )
    title = shorten(entry["title"], 26)
    write(axes, 0, 1.08, title, weight="bold", transform=axes.transAxes)
    labels = []
    for index, model in enumerate(findings.labels):
        scores_in = scores.get((model, detector, "in"))
        scores_out = scores.get((model, detector, entry["name"]))
        metric = findings.metric(model, detector, entry["name"])
        if scores_in is None or scores_out is None or metric is None:
            continue
        fpr, tpr, _ = roc_curve(scores_in, scores_out)
        colour = model_colour(index)
        axes.plot(*thin(fpr, tpr, 0.002), color=colour, linewidth=1.7, solid_joinstyle="round")
        fpr95 = metric["fpr95"]["mean"]
        dot = (fpr95, 0.95) if findings.positive == "in" else (0.05, 1 - fpr95)
        axes.plot(*([value] for value in dot), "o", color=colour, markersize=4.5)
        labels.append((percent(metric["auroc"]["mean"]), colour))
    for line, (text, colour) in enumerate(reversed(labels)):
        write(axes, 1, 0.06 + 0.105 * line, text, color=colour, ha="right", weight="bold")
    if labels:
        write(axes, 1, 0.06 + 0.105 * len(labels), "AUROC", color=MUTED, ha="right", fontsize=7.5)


def _density_panel(axes, findings: Findings, scores: dict, model: str, detector: str) -> None:
    names = ["in", *(entry["name"] for entry in findings.sets)]
    available = {name: scores.get((model, detector, name)) for name in names}
    available = {name: array for name, array in available.items() if array is not None}
    if "in" not in available:
        return
    low, high = common_range(list(available.values()))
    axes.set_xlim(low, high)
    entry = findings.threshold(model, detector)
    for row, name in enumerate(names[1:]):
        base = len(names) - 2 - row
        axes.axhline(base, color=HAIRLINE, linewidth=0.7)
        if name not in available:
            continue
        _ridge(axes, available["in"], base, low, high, IN_COLOUR)
        _ridge(axes, available[name], base, low, high, OUT_COLOUR)
        if entry and name in entry["flagged"]:
            flagged = f"{100 * entry['flagged'][name]:.1f} %"
            _beside(axes, 1.02, base + 0.3, flagged, color=OUT_COLOUR)
    if entry:
        axes.axvline(entry["threshold"]["value"], color=INK, linewidth=1, linestyle=(0, (3, 2)))
        _beside(axes, 1.02, len(names) - 0.93, "flagged", color=MUTED, fontsize=7.5)


def _ridge(axes, scores, base: float, low: float, high: float, colour: str) -> None:
    positions, values = density(scores, low, high)
    unit = high - low
    x, y = thin((positions - low) / unit, 0.86 * values / values.max(), 0.0015)
    x, y = low + unit * x, base + y
    axes.fill_between(x, base, y, color=colour, alpha=0.28, linewidth=0)
    axes.plot(x, y, color=colour, linewidth=1.2)


def _model_legend(figure: Figure, findings: Findings, height: float) -> None:
    share = 1 / max(len(findings.models), 3)
    for index, model in enumerate(findings.models):
        text = f"● {shorten(model['label'], int(110 * share))}"
        x, y = 0.04 + 0.94 * index * share, 1 - 0.14 / height
        write(figure, x, y, text, color=model_colour(index), weight="bold", fontsize=9)


def _density_legend(figure: Figure, height: float) -> None:
    y = 1 - 0.14 / height
    left = _NAMES / _WIDTH
    write(figure, left, y, "● in-distribution", color=IN_COLOUR, weight="bold", fontsize=9)
    write(figure, left + 0.16, y, "● the OOD set", color=OUT_COLOUR, weight="bold", fontsize=9)
    write(figure, left + 0.3, y, "┆ calibrated threshold: what lies right of it is flagged")


def _beside(axes, x: float, y: float, text: str, **style) -> None:
    """Text at a height in the axes' data, at a horizontal position relative to the axes."""
    write(axes, x, y, text, transform=axes.get_yaxis_transform(), **style)
