"""Reports of an evaluation: JSON, CSV, Markdown, LaTeX, one HTML page, tables in the terminal."""

import csv
import io
import pathlib

import numpy as np

from kerasood.evaluation.records import records
from kerasood.files import atomic_path, write_json, write_text
from kerasood.reporting import html, latex, markdown, terminal
from kerasood.reporting.sections import report, summary

__all__ = ["load_scores", "page", "print_summary", "records", "to_markdown", "write_report"]


def write_report(results: dict, scores: dict, folder, sources=None) -> pathlib.Path:
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
        named = {"/".join(key): np.asarray(values, np.float32) for key, values in scores.items()}
        np.savez(temporary, **named)
    write_text(folder / "results.csv", to_csv(results))
    write_text(folder / "report.md", to_markdown(results))
    write_text(folder / "report.tex", latex.render(report(results)))
    write_text(folder / "report.html", page(results, scores, sources))
    return folder / "report.html"


def load_scores(path) -> dict:
    """Reads scores.npz back as {(model, detector, set): (N,) float32 scores}."""
    with np.load(path, allow_pickle=False) as archive:
        return {tuple(name.split("/", 2)): archive[name] for name in archive.files}


def to_markdown(results: dict) -> str:
    """The report as Markdown, without figures; ends with a newline."""
    return markdown.render(report(results))


def page(results: dict, scores: dict, sources=None) -> str:
    """The report as one HTML page; arguments as of `write_report`."""
    return html.render(results["title"], report(results, scores, sources))


def print_summary(results: dict, console=None) -> None:
    """Prints the tables and the decision, 100 columns wide where there is no terminal.

    Args:
        results: as saved in results.json.
        console: rich Console to print on; the standard output by default.
    """
    terminal.show(summary(results), console)


def to_csv(results: dict) -> str:
    """The records of an evaluation as CSV, one line per model, detector and set."""
    found = records(results)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]) if found else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()
