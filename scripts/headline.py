"""python -m scripts.headline RESULTS PNG: what fine-tuning did to each OOD set, as one picture.

RESULTS is the results.json of an evaluation of a base and its fine-tunes.
"""

import argparse

from kerasood.files import atomic_path, read_json
from kerasood.reporting.drawing import (
    HAIRLINE,
    MUTED,
    clean_axes,
    model_colour,
    new_figure,
    write,
)
from kerasood.reporting.findings import Findings, percent

ROW = 0.3
SIZE = 8


def headline(results, detector="energy"):
    """A dot for the FPR95 of every model on every far OOD set and their mean: matplotlib figure.

    Args:
        results: as saved in results.json.
        detector: str, name of one that was measured.
    """
    findings = Findings(results)
    models = findings.models
    far = [entry for entry in findings.sets if entry["role"] == "far"]
    fpr95 = {
        (entry["model"], entry["set"]): 100 * entry["fpr95"]["mean"]
        for entry in results["metrics"] if entry["detector"] == detector
    }
    rows = [
        (entry["title"], [fpr95[model["key"], entry["name"]] for model in models])
        for entry in far
    ]
    means = [sum(values) / len(far) for values in zip(*(row[1] for row in rows), strict=True)]
    rows = sorted(rows, key=lambda row: row[1][0]) + [(f"mean of {len(far)}", means)]
    height = ROW * len(rows) + 1.0
    figure = new_figure(SIZE, height)
    axes = figure.add_axes((0.18, 0.42 / height, 0.79, ROW * len(rows) / height))
    clean_axes(axes, grid="x")
    for y, (title, values) in enumerate(rows):
        is_mean = y == len(rows) - 1
        axes.plot([min(values), max(values)], [y, y], color=HAIRLINE, linewidth=2, zorder=1)
        for index, value in enumerate(values):
            axes.scatter(value, y, 90 if is_mean else 45, color=model_colour(index), zorder=2)
        write(axes, -1.5, y, title, ha="right", fontweight="bold" if is_mean else "normal")
    axes.set(xlim=(0, 100), ylim=(-0.6, len(rows) - 0.4), yticks=[])
    axes.set_xlabel(
        f"OOD images accepted at 95 % of in-distribution images kept, % ({detector})",
        fontsize=8, color=MUTED,
    )
    for index, model in enumerate(models):
        x, y = 0.1 + 0.28 * index, 1 - 0.25 / height
        write(figure, x, y, "●", color=model_colour(index), fontsize=11)
        text = f"{model['label']}, accuracy {percent(model['accuracy'])} %"
        write(figure, x + 0.025, y, text)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", help="results.json of an evaluation")
    parser.add_argument("png", help="file to write")
    options = parser.parse_args()
    with atomic_path(options.png) as temporary:
        headline(read_json(options.results)).savefig(temporary, format="png", dpi=150)


if __name__ == "__main__":
    main()
