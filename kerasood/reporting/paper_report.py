"""The suite's folder and its summary in the terminal."""

import collections
import pathlib

import matplotlib

from kerasood.files import atomic_path, write_json, write_text
from kerasood.reporting import blocks, html, latex, markdown, terminal
from kerasood.reporting.paper_sections import TITLE, report, summary

_DOTS_PER_INCH = 160


def write_paper(results: dict, scores: list[dict], folder) -> pathlib.Path:
    """Writes results.json, paper.md, paper.tex, paper.html and every figure as PNG.

    Args:
        results: of the suite.
        scores: per section {(model, detector, set): (N,) scores}.
        folder: where to; made when missing.

    Returns:
        Path of the HTML page.

    Raises:
        OSError: a file cannot be written; the message names it.
    """
    folder = pathlib.Path(folder)
    write_json(folder / "results.json", results)
    parts = report(results, _section_names(results), scores)
    for block in blocks.walk(parts):
        if isinstance(block, blocks.Figure):
            _write_png(block.draw(), folder / f"{block.name}.png")
    write_text(folder / "paper.md", markdown.render(parts))
    write_text(folder / "paper.tex", latex.render(parts))
    write_text(folder / "paper.html", html.render(TITLE, parts))
    return folder / "paper.html"


def print_paper(results: dict, console=None) -> None:
    """Prints what was measured above what the paper prints, 100 columns where it is no terminal.

    Args:
        results: of the suite.
        console: rich Console to print on; the standard output by default.
    """
    terminal.show(summary(results), console)


def _section_names(results: dict) -> list[str]:
    """A file stem per section: the data set, numbered where several runs are on one."""
    counts, names = collections.Counter(), []
    for section in results["sections"]:
        name = section["dataset"]["name"]
        counts[name] += 1
        names.append(name if counts[name] == 1 else f"{name}-{counts[name]}")
    return names


def _write_png(figure, path: pathlib.Path) -> None:
    with atomic_path(path) as temporary, matplotlib.rc_context({"figure.dpi": _DOTS_PER_INCH}):
        figure.savefig(temporary, dpi=_DOTS_PER_INCH, facecolor="white")
