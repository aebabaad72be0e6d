"""ROC curves and score densities before and after, as matplotlib figures."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import gaussian_filter1d

from kerasood.metrics import roc_curve
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
    write,
)
from kerasood.reporting.findings import Findings, Group, percent

_WIDTH = 9.6
_MARGIN = 0.2
_NAMES = 1.5
# Of a density; its curve has as many points.
_BINS = 120


def roc_figure(findings: Findings, scores: dict, groups=None, detector=None) -> Figure:
    """One panel per OOD set with the ROC curve of every group, and its FPR95 as a dot.

    A group of several training runs is drawn as the mean of their curves, in a band from the
    lowest to the highest.

    Args:
        findings: Findings.
        scores: {(model, detector, set): (N,) scores}, ID images under the set name "in".
        groups: list of Groups to draw; all by default.
        detector: whose scores; the primary detector's by default.

    Returns:
        A matplotlib figure.
    """
    detector, groups = detector or findings.primary, groups or findings.groups
    columns = 4 if len(findings.sets) in (4, 7, 8) or len(findings.sets) > 9 else 3
    rows = -(-len(findings.sets) // columns)
    panel = (_WIDTH - _MARGIN) / columns
    height = rows * panel + 0.55
    figure = new_figure(_WIDTH, height)
    _group_legend(figure, groups, height)
    for index, entry in enumerate(findings.sets):
        row, column = divmod(index, columns)
        left = (_MARGIN + column * panel + 0.4) / _WIDTH
        bottom = (height - 0.15 - (row + 1) * panel + 0.12) / height
        axes = figure.add_axes((left, bottom, (panel - 0.6) / _WIDTH, (panel - 0.6) / height))
        _roc_panel(axes, findings, scores, groups, detector, entry)
        lowest_in_column = index + columns >= len(findings.sets)
        if lowest_in_column:
            axes.set_xlabel("OOD images accepted", fontsize=8, color=MUTED)
        if column == 0:
            axes.set_ylabel("ID images accepted", fontsize=8, color=MUTED)
    return figure


def density_figure(findings: Findings, scores: dict, groups=None, detector=None) -> Figure:
    """Densities of ID and OOD scores, a row per OOD set and a column per group's first model.

    Every curve is scaled to its own peak. The dashed line is the calibrated threshold; the number
    at the right is the share of the set's images above it.

    Args:
        findings: Findings.
        scores: {(model, detector, set): (N,) scores}, ID images under the set name "in".
        groups: list of Groups to draw; all by default.
        detector: whose scores; the primary detector's by default.

    Returns:
        A matplotlib figure.
    """
    detector, groups = detector or findings.primary, groups or findings.groups
    num_rows = max(len(findings.sets), 1)
    height = 1.5 + 0.55 * num_rows
    figure = new_figure(_WIDTH, height)
    panel = (_WIDTH - _NAMES) / max(len(groups), 1)
    for index, group in enumerate(groups):
        left = (_NAMES + index * panel) / _WIDTH
        box = (left, 0.5 / height, (panel - 0.62) / _WIDTH, (height - 1.3) / height)
        axes = figure.add_axes(box)
        clean_axes(axes)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))
        axes.set_ylim(-0.1, num_rows)
        axes.set_xlabel(f"{detector} score", fontsize=8, color=MUTED)
        title = shorten(group.label, int(panel * 11))
        write(axes, 0, 1 + 0.3 / (height - 1.3), title, weight="bold", transform=axes.transAxes)
        _density_panel(axes, findings, scores, group.models[0], detector)
        if index == 0:
            for row, entry in enumerate(findings.sets):
                name = shorten(entry["title"], 20)
                _beside(axes, -0.03, num_rows - 1 - row + 0.3, name, ha="right")
    _density_legend(figure, height)
    return figure


def _roc_panel(axes, findings: Findings, scores: dict, groups, detector: str, entry) -> None:
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
    for index, group in enumerate(groups):
        fpr95, auroc = (
            findings.number(group, detector, "set", entry["name"], metric)["mean"]
            for metric in ("fpr95", "auroc")
        )
        curves = _curves(scores, group, detector, entry["name"])
        if not curves or fpr95 is None:
            continue
        colour = model_colour(index)
        _draw_curves(axes, curves, colour)
        dot = (fpr95, 0.95) if findings.positive == "in" else (0.05, 1 - fpr95)
        axes.plot(*([value] for value in dot), "o", color=colour, markersize=4.5)
        labels.append((percent(auroc), colour))
    for line, (text, colour) in enumerate(reversed(labels)):
        write(axes, 1, 0.06 + 0.105 * line, text, color=colour, ha="right", weight="bold")
    if labels:
        write(axes, 1, 0.06 + 0.105 * len(labels), "AUROC", color=MUTED, ha="right", fontsize=7.5)


def _curves(scores: dict, group: Group, detector: str, name: str) -> list:
    """(fpr, tpr) of every model of a group that was scored."""
    found = [
        (scores.get((key, detector, "in")), scores.get((key, detector, name)))
        for key in group.models
    ]
    return [
        roc_curve(scores_in, scores_out)[:2]
        for scores_in, scores_out in found
        if scores_in is not None and scores_out is not None
    ]


def _draw_curves(axes, curves: list, colour: str) -> None:
    style = {"color": colour, "linewidth": 1.7, "solid_joinstyle": "round"}
    if len(curves) == 1:
        axes.plot(*curves[0], **style)
        return
    grid = np.linspace(0, 1, 201)
    heights = np.stack([np.interp(grid, fpr, tpr) for fpr, tpr in curves])
    axes.fill_between(grid, heights.min(0), heights.max(0), color=colour, alpha=0.22, linewidth=0)
    axes.plot(grid, heights.mean(0), **style)


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
    heights = base + 0.86 * values / values.max()
    axes.fill_between(positions, base, heights, color=colour, alpha=0.28, linewidth=0)
    axes.plot(positions, heights, color=colour, linewidth=1.2)


def _group_legend(figure: Figure, groups: list[Group], height: float) -> None:
    share = 1 / max(len(groups), 3)
    for index, group in enumerate(groups):
        text = f"● {shorten(group.title, int(110 * share))}"
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


def density(scores, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed density of scores: a histogram convolved with a Gaussian.

    Scores outside the range count in its first or last bin. The width is Silverman's rule of
    thumb, at least one bin.

    Args:
        scores: (N,) finite scores.
        low: start of the range.
        high: end of the range, above `low`.

    Returns:
        Positions and densities, two float64 arrays; the densities' integral is 1 unless the
        Gaussian reaches beyond the range.
    """
    scores = np.clip(np.asarray(scores, np.float64), low, high)
    densities, edges = np.histogram(scores, _BINS, (low, high), density=True)
    quartiles = np.quantile(scores, (0.25, 0.75))
    deviation = min(np.std(scores), np.diff(quartiles)[0] / 1.34) or np.std(scores)
    bins = 0.9 * deviation * scores.size**-0.2 / (edges[1] - edges[0])
    smoothed = gaussian_filter1d(densities, max(bins, 1.0), mode="constant")
    return (edges[:-1] + edges[1:]) / 2, smoothed


def common_range(arrays: list[np.ndarray]) -> tuple[float, float]:
    """A range that shows all but the outermost half percent on either side of every array."""
    quantiles = [np.quantile(np.asarray(array, np.float64), (0.005, 0.995)) for array in arrays]
    low = min(quantile[0] for quantile in quantiles)
    high = max(quantile[1] for quantile in quantiles)
    margin = 0.06 * (high - low) or max(abs(low), 1.0) * 0.1
    return float(low - margin), float(high + margin)
