"""The suite's folder and its summary in the terminal."""

import collections
import pathlib

import matplotlib
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kerasood.files import atomic_path, write_json, write_text
from kerasood.reporting.findings import COLUMNS, percent
from kerasood.reporting.paper import TITLES, mean_title, row_title, status_text
from kerasood.reporting.paper_markdown import cell_of, seeds_title, to_markdown
from kerasood.reporting.paper_numbers import METRICS
from kerasood.reporting.paper_page import page
from kerasood.reporting.paper_plots import figures_of

_DOTS_PER_INCH = 160
_NUMBER = 6


def write_paper(results: dict, scores: list[dict], folder) -> pathlib.Path:
    """Writes results.json, paper.md, paper.html and every figure as PNG.

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
    figures = {}
    for name, section, of_section in zip(
        section_names(results), results["sections"], scores, strict=True
    ):
        figures[name] = figures_of(section, of_section)
        for stem, _, _, figure in figures[name]:
            _write_png(figure, folder / f"{name}-{stem}.png")
    write_text(folder / "paper.md", to_markdown(results, figures))
    write_text(folder / "paper.html", page(results, figures))
    return folder / "paper.html"


def section_names(results: dict) -> list[str]:
    """A file stem per section: the data set, numbered where several runs are on one."""
    counts, names = collections.Counter(), []
    for section in results["sections"]:
        name = section["dataset"]["name"]
        counts[name] += 1
        names.append(name if counts[name] == 1 else f"{name}-{counts[name]}")
    return names


def print_paper(results: dict, console: Console | None = None) -> None:
    """Prints what was measured above what the paper prints, 100 columns where it is no terminal.

    Args:
        results: of the suite.
        console: where to print; the standard output by default.
    """
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=100)
    for section in results["sections"]:
        console.print(Text(f"\n{section['title']}: {section['run']}", style="bold"))
        console.print(Text(section["trained"]))
        console.print(Text(section["protocol"]["convention"], style="dim"))
        note = section["dataset"]["note"]
        if note:
            console.print(Text(f"  {section['dataset']['title']}: partial: {note}", style="yellow"))
        for entry in section["comparison"]["sets"]:
            style = "" if entry["status"] == "published" else "yellow"
            console.print(Text(f"  {entry['title']}: {status_text(entry)}", style=style))
        console.print(_table1(section))
        console.print(_table2(section))
    for section in results["averaged"]:
        title = f"\n{section['title']}, {seeds_title(section)}"
        console.print(Text(title, style="bold"))
        console.print(_table1(section))
        console.print(_table2(section))
    for entry in results["not_measured"]:
        line = f"{entry['dataset']}: {entry['lack']}: {entry['how_to_get']}"
        console.print(Text(line, style="yellow"))


def _table1(section: dict) -> Table:
    comparison = section["comparison"]
    sets = {entry["name"]: entry for entry in comparison["sets"]}
    accuracies = comparison["accuracy"]
    labels = [model["label"] for model in section["models"]]
    table = _new_table("Table 1, %\n(ID positive)", labels)
    lines = [(row_title(sets[row["set"]]), row["models"]) for row in comparison["table1"]]
    for title, models in (*lines, (mean_title(comparison), comparison["mean"]["models"])):
        table.add_row(Text(title), Text(""), *(_numbers(model["measured"]) for model in models))
        table.add_row("", Text("paper", "dim"), *(_numbers(m["paper"], "dim") for m in models))
    table.add_row(
        Text("Accuracy"),
        "",
        *(
            Text(f"{cell_of(a['measured']).text} (paper {percent(a['paper'])})")
            for a in accuracies
        ),
    )
    return table


def _table2(section: dict) -> Table:
    comparison = section["comparison"]
    table = _new_table("Table 2, %, means\n(ID positive)", ["measured", "paper", "difference"])
    for row in comparison["table2"]:
        over = f"paper: {row['paper_sets']} sets"
        numbers = [_numbers(row["measured"]), _numbers(row["paper"]), _numbers(row["difference"])]
        table.add_row(Text(TITLES[row["method"]]), Text(over, "dim"), *numbers)
    return table


def _new_table(title: str, labels: list[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(Text(title), max_width=26)
    table.add_column("")
    for label in labels:
        titles = " ".join(column.title.rjust(_NUMBER) for column in COLUMNS["in"])
        table.add_column(Text(f"{label}\n{titles}"), no_wrap=True)
    return table


def _numbers(numbers: dict | None, style: str = "") -> Text:
    if numbers is None:
        return Text(" ".join(["–".rjust(_NUMBER)] * len(METRICS)), style="dim")
    values = (numbers[name] for name in METRICS)
    fractions = (value["mean"] if isinstance(value, dict) else value for value in values)
    return Text(" ".join(percent(fraction).rjust(_NUMBER) for fraction in fractions), style=style)


def _write_png(figure, path: pathlib.Path) -> None:
    with atomic_path(path) as temporary, matplotlib.rc_context({"figure.dpi": _DOTS_PER_INCH}):
        figure.savefig(temporary, dpi=_DOTS_PER_INCH, facecolor="white")
