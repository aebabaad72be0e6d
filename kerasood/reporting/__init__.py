"""Reports of an evaluation: JSON, Markdown, one HTML page, and a table in the terminal."""

import pathlib

import numpy as np

from kerasood.files import atomic_path, write_json, write_text
from kerasood.reporting.html import page
from kerasood.reporting.tables import to_markdown
from kerasood.reporting.terminal import print_summary

__all__ = ["load_scores", "page", "print_summary", "to_markdown", "write_report"]


def write_report(results: dict, scores: dict, folder) -> pathlib.Path:
    """Writes results.json, scores.npz, report.md and report.html.

    Args:
        results: plain dictionary that the evaluation built.
        scores: {(model, detector, set): (N,) scores}, ID images under the set name "in".
        folder: where to; made when missing.

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
    write_text(folder / "report.md", to_markdown(results))
    write_text(folder / "report.html", page(results, scores))
    return folder / "report.html"


def load_scores(path) -> dict:
    """Reads scores.npz back as {(model, detector, set): (N,) float32 scores}."""
    with np.load(path, allow_pickle=False) as archive:
        return {tuple(name.split("/", 2)): archive[name] for name in archive.files}
