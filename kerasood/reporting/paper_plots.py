"""The paper's Figures 2 and 3 as measured, with the paper's numbers where it prints them."""

import numpy as np
from matplotlib.figure import Figure

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
from kerasood.reporting.findings import Findings, percent
from kerasood.reporting.paper import row_title
from kerasood.reporting.plots import common_range, density, density_figure, roc_figure

_WIDTH = 9.6


def fpr95_figure(results: dict) -> Figure:
    """Table 1's FPR95 as arrows from base to fine-tune, the paper's below what was measured.

    Args:
        results: a section of the suite, with its comparison.

    Returns:
        A matplotlib figure.
    """
    lines = _fpr95_lines(results)
    height = 0.75 + 0.52 * len(lines)
    figure = new_figure(_WIDTH, height)
    axes = figure.add_axes((0.25, 0.45 / height, 0.6, (height - 0.75) / height))
    clean_axes(axes, grid="x")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    axes.set_yticks([])
    axes.set_xlabel("FPR95: OOD images accepted at 95 % ID recall (less is better)",
                    fontsize=8, color=MUTED)
    for row, (title, weight, measured, paper) in enumerate(lines):
        write(axes, -0.02, row, shorten(title, 34), ha="right", weight=weight,
              transform=axes.get_yaxis_transform())
        _arrow(axes, row - 0.15, measured, model_colour(1), 2.2)
        _arrow(axes, row + 0.17, paper, model_colour(0), 1.4)
    top = 1 - 0.14 / height
    label = results["models"][-1]["label"]
    write(figure, 0.25, top, f"○→● measured: base, {shorten(label, 28)}",
          color=model_colour(1), weight="bold", fontsize=9)
    write(figure, 0.62, top, "○→● the paper: base, fine-tuned",
          color=model_colour(0), weight="bold", fontsize=9)
    return figure


def before_after_figure(results: dict) -> Figure:
    """Figure 2(a): accuracy before and after, with the paper's as a line across each bar.

    Args:
        results: a section of the suite, with its comparison.

    Returns:
        A matplotlib figure.
    """
    height = 1.25
    figure = new_figure(_WIDTH, height)
    axes = figure.add_axes((0.27, 0.02, 0.5, 0.74))
    clean_axes(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(1.6, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)
    compared = zip(results["models"], results["comparison"]["accuracy"], strict=True)
    for row, (model, accuracy) in enumerate(compared):
        axes.barh(row, 1, height=0.55, color=HAIRLINE, alpha=0.5)
        axes.barh(row, accuracy["measured"], height=0.55, color=model_colour(row))
        axes.plot([accuracy["paper"]] * 2, [row - 0.4, row + 0.4], color=INK, linewidth=1.8)
        beside = axes.get_yaxis_transform()
        write(axes, -0.02, row, shorten(model["label"], 32), ha="right", transform=beside)
        text = f"{percent(accuracy['measured'])} %   paper {percent(accuracy['paper'])} %"
        write(axes, 1.02, row, text, transform=beside)
    write(figure, 0.27, 1 - 0.14 / height, "▌accuracy measured", color=model_colour(1),
          weight="bold", fontsize=9)
    write(figure, 0.47, 1 - 0.14 / height, "│ the paper's", weight="bold", fontsize=9)
    return figure


def energy_figure(results: dict, scores: dict) -> Figure:
    """Figure 3: densities of the energy before and after, all of the paper's sets at hand pooled.

    Every set counts the same, however many images it has. Stand-ins are left out.

    Args:
        results: a section of the suite, with its comparison.
        scores: {(model, detector, set): (N,) scores} of the section.

    Returns:
        A matplotlib figure.
    """
    height = 2.7
    figure = new_figure(_WIDTH, height)
    names = results["comparison"]["mean"]["sets"]
    for index, model in enumerate(results["models"]):
        box = (0.05 + 0.49 * index, 0.42 / height, 0.42, (height - 1.05) / height)
        axes = figure.add_axes(box)
        clean_axes(axes)
        axes.set_yticks([])
        axes.set_xlabel("energy, −logsumexp of the logits", fontsize=8, color=MUTED)
        title = shorten(model["label"], 40)
        write(axes, 0, 1.1, title, weight="bold", transform=axes.transAxes)
        overlap = _energy_panel(axes, scores, model["key"], names)
        mean = results["comparison"]["mean"]["models"][index]["measured"]
        text = f"overlap {percent(overlap)} %   mean AUROC {percent(mean['auroc'])}"
        write(axes, 1, 1.1, text, ha="right", color=MUTED, transform=axes.transAxes)
    y = 1 - 0.14 / height
    title = results["dataset"]["title"]
    write(figure, 0.05, y, f"● in-distribution ({title})", color=IN_COLOUR, weight="bold",
          fontsize=9)
    write(figure, 0.34, y, f"● OOD ({len(names)} of the paper's six sets, equal weights)",
          color=OUT_COLOUR, weight="bold", fontsize=9)
    return figure


def _energy_panel(axes, scores: dict, model: str, names: list[str]) -> float:
    """Draws both densities; returns the area that they share."""
    scores_in = scores[model, "energy", "in"]
    scores_out = [scores[model, "energy", name] for name in names]
    low, high = common_range([scores_in, *scores_out])
    axes.set_xlim(low, high)
    positions, of_in = density(scores_in, low, high)
    of_out = np.mean([density(values, low, high)[1] for values in scores_out], axis=0)
    for values, colour in ((of_in, IN_COLOUR), (of_out, OUT_COLOUR)):
        axes.fill_between(positions, 0, values, color=colour, alpha=0.28, linewidth=0)
        axes.plot(positions, values, color=colour, linewidth=1.5)
    axes.set_ylim(0, None)
    return float(np.sum(np.minimum(of_in, of_out)) * (positions[1] - positions[0]))


def _fpr95_lines(results: dict) -> list[tuple]:
    """(title, weight, measured pair, paper's pair) per row of Table 1 and for the mean."""
    comparison = results["comparison"]
    sets = {entry["name"]: entry for entry in comparison["sets"]}
    lines = []
    for row in comparison["table1"]:
        pairs = [
            [model[source]["fpr95"]["mean"] for model in row["models"] if model[source]]
            for source in ("measured", "paper")
        ]
        lines.append((row_title(sets[row["set"]]), "normal", *pairs))
    means = comparison["mean"]["models"]
    if all(mean["measured"] and mean["paper"] for mean in means):
        count = len(comparison["mean"]["sets"])
        title = "Mean of the six sets" if count == 6 else f"Mean of {count} of the six sets"
        pairs = [[mean[source]["fpr95"] for mean in means] for source in ("measured", "paper")]
        lines.append((title, "bold", *pairs))
    return lines


def _arrow(axes, y: float, pair: list[float], colour: str, width: float) -> None:
    """From base to fine-tune, with both numbers at the right; nothing for an empty pair."""
    if not pair:
        return
    before, after = pair
    text = f"{percent(before)} → {percent(after)}"
    write(axes, 1.03, y, text, color=colour, transform=axes.get_yaxis_transform())
    axes.plot([before, after], [y, y], color=colour, linewidth=width, solid_capstyle="round")
    axes.plot([before], [y], "o", markersize=5.5, markerfacecolor="white", color=colour)
    axes.plot([after], [y], "o", markersize=6.5, color=colour)


def figures_of(results: dict, scores: dict) -> list[tuple]:
    """(file stem, title, description, function that draws it) of all figures of a section."""
    title, findings = results["dataset"]["title"], Findings(results)
    return [
        ("fpr95", "Table 1 at a glance", f"{title}: FPR95 before and after, measured and paper",
         lambda: fpr95_figure(results)),
        ("accuracy", "Figure 2(a): accuracy before and after",
         f"{title}: accuracy before and after, measured and paper",
         lambda: before_after_figure(results)),
        ("roc", "Figure 2(b): ROC curves before and after, energy",
         f"{title}: ROC curves before and after by OOD set",
         lambda: roc_figure(findings, scores)),
        ("energy", "Figure 3: energies before and after", f"{title}: densities of the energy",
         lambda: energy_figure(results, scores)),
        ("energy-by-set", "Figure 3 by OOD set", f"{title}: densities of the energy by OOD set",
         lambda: density_figure(findings, scores)),
    ]
