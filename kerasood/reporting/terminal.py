"""The before/after table in the terminal."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kerasood.reporting.findings import COLUMNS, ROLE_TITLES, Findings, Row

_WIDTH = 100
_TITLE_WIDTH = 20
_NUMBER_WIDTH = 5
_MODEL_WIDTH = (_NUMBER_WIDTH + 1) * len(COLUMNS) - 1


def print_summary(results: dict, console: Console | None = None) -> None:
    """Prints the comparison of the primary detector, 100 columns wide where there is no terminal.

    Args:
        results: as saved in results.json.
        console: where to print; the standard output by default.
    """
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=_WIDTH)
    findings = Findings(results)
    dataset, protocol = results["dataset"], results["protocol"]
    console.print()
    console.print(Text(f"{dataset['title']}: before and after", style="bold"))
    how = f"Detector {findings.primary}, protocol {protocol['name']}, percent."
    console.print(Text(f"{how} {protocol['convention']}", style="dim"))
    console.print()
    for models in _blocks(findings.models, console.width):
        console.print(_table(findings, models))
        console.print()
    for title, note in findings.notes():
        console.print(Text(f"* {title}: {note}", style="dim"))
    console.print(Text(findings.headline()))


def _blocks(models: list[dict], width: int) -> list[list[dict]]:
    """Models in blocks as wide as the terminal, each with the first model to compare with."""
    fitting = (width - _TITLE_WIDTH - 2) // (_MODEL_WIDTH + 2)
    if len(models) <= fitting:
        return [models]
    if fitting < 2:
        return [[model] for model in models]
    first, rest = models[0], models[1:]
    starts = range(0, len(rest), fitting - 1)
    return [[first, *rest[start : start + fitting - 1]] for start in starts]


def _table(findings: Findings, models: list[dict]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(Text("OOD set"), max_width=_TITLE_WIDTH, overflow="ellipsis", no_wrap=True)
    units = " ".join(f"{column.title:>{_NUMBER_WIDTH}}" for column in COLUMNS)
    for model in models:
        heading = Text(f"{model['label']}\naccuracy {100 * model['accuracy']:.2f}\n{units}")
        table.add_column(heading, min_width=_MODEL_WIDTH, max_width=_MODEL_WIDTH)
    for role in findings.roles:
        rows = [row for row in findings.rows() if row.role == role]
        table.add_row(Text(ROLE_TITLES[role], style="bold"))
        for row in rows:
            table.add_row(*_line(row, models), end_section=row.is_mean)
    return table


def _line(row: Row, models: list[dict]) -> list[Text]:
    mark = "*" if row.note else ""
    title = "Mean" if row.is_mean else f"  {row.title}{mark}"
    style = "italic" if row.is_mean else ""
    return [Text(title, style=style), *(_numbers(row, model["key"]) for model in models)]


def _numbers(row: Row, model: str) -> Text:
    parts = Text()
    for index, cell in enumerate(row.cells[model]):
        text = "–" if cell.value is None else f"{100 * cell.value:.2f}"[:_NUMBER_WIDTH]
        parts.append(" " * (index > 0) + f"{text:>{_NUMBER_WIDTH}}", "bold green" * cell.best)
    return parts
