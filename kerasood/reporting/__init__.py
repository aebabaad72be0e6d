"""Reports of an evaluation: JSON, CSV, Markdown, LaTeX, one HTML page, tables in the terminal."""

import collections
import csv
import io
import os
import pathlib
import typing
import urllib.parse

import matplotlib
import numpy as np

from kerasood.evaluation.results import records
from kerasood.files import atomic_path, write_json, write_text
from kerasood.reporting import blocks, html, latex, markdown, paper_sections, terminal
from kerasood.reporting.sections import report, summary

__all__ = [
    "load_scores", "page", "print_paper", "print_summary", "records", "to_markdown", "write_paper",
    "write_report",
]

_DOTS_PER_INCH = 160


def write_report(
    results: dict, scores: dict, folder: str | os.PathLike, sources: dict | None = None,
) -> pathlib.Path:
    """Writes results.json, results.csv, scores.npz, report.md, report.tex and report.html.

    Args:
        results: plain dictionary that the evaluation built.
        scores: {(model, detector, set): (N,) scores}, ID images under the set name "in".
        folder: where to; made when missing.
        sources: {"in" or set name: ImageSource} of the images that were scored, in their order;
            without them the reports show no example images.

    Returns:
        Path of the HTML page.

    Raises:
        OSError: a file cannot be written; the message names it.
    """
    folder = pathlib.Path(folder)
    write_json(folder / "results.json", results)
    with atomic_path(folder / "scores.npz") as temporary:
        np.savez(temporary, **{
            _joined(*key): np.asarray(values, np.float32) for key, values in scores.items()
        })
    write_text(folder / "results.csv", to_csv(results))
    write_text(folder / "report.md", to_markdown(results))
    write_text(folder / "report.tex", latex.render(report(results)))
    write_text(folder / "report.html", page(results, scores, sources))
    return folder / "report.html"


def write_paper(results: dict, scores: list[dict], folder: str | os.PathLike) -> pathlib.Path:
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
    parts = paper_sections.report(results, _section_names(results), scores)
    for block in blocks.walk(parts):
        if isinstance(block, blocks.Figure):
            _write_png(block.draw(), folder / f"{block.name}.png")
    write_text(folder / "paper.md", markdown.render(parts))
    write_text(folder / "paper.tex", latex.render(parts))
    write_text(folder / "paper.html", html.render(paper_sections.TITLE, parts))
    return folder / "paper.html"


def load_scores(path: str | os.PathLike) -> dict:
    """Reads scores.npz back as {(model, detector, set): (N,) float32 scores}."""
    with np.load(path, allow_pickle=False) as archive:
        return {_parts(name): archive[name] for name in archive.files}


def _joined(model: str, detector: str, name: str) -> str:
    """The key of scores in a file; labels of models are the user's and may have slashes."""
    return f"{urllib.parse.quote(model, ' ')}/{detector}/{name}"


def _parts(name: str) -> tuple[str, str, str]:
    model, detector, of_set = name.split("/", 2)
    return urllib.parse.unquote(model), detector, of_set


def to_markdown(results: dict) -> str:
    """The report as Markdown, without figures; ends with a newline."""
    return markdown.render(report(results))


def page(results: dict, scores: dict, sources: dict | None = None) -> str:
    """The report as one HTML page; arguments as of `write_report`."""
    return html.render(results["title"], report(results, scores, sources))


def print_summary(results: dict, console: typing.Any = None) -> None:
    """Prints the tables and the decision, 100 columns wide where there is no terminal.

    Args:
        results: as saved in results.json.
        console: rich Console to print on; the standard output by default.
    """
    terminal.show(summary(results), console)


def print_paper(results: dict, console: typing.Any = None) -> None:
    """Prints what was measured above what the paper prints, 100 columns where it is no terminal.

    Args:
        results: of the suite.
        console: rich Console to print on; the standard output by default.
    """
    terminal.show(paper_sections.summary(results), console)


def to_csv(results: dict) -> str:
    """The records of an evaluation as CSV, one line per model, detector and set."""
    found = records(results)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]) if found else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


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
