"""The before/after table in the terminal."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kerasood.reporting.findings import ROLE_TITLES, Findings, Row
from kerasood.reporting.seeds import SPREAD, seed_rows, seed_titles

_WIDTH = 100
_TITLE_WIDTH = 20
_NUMBER_WIDTH = 5


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
    sets = [
        (ROLE_TITLES[role], [row for row in findings.rows() if row.role == role])
        for role in findings.roles
    ]
    _print_tables(console, findings, "OOD set", sets)
    if len(results["detectors"]) > 1:
        detectors = [
            (f"{ROLE_TITLES[role]}, mean", findings.detector_rows(role))
            for role in findings.roles
        ]
        _print_tables(console, findings, "Detector", detectors)
    for title, note in findings.notes():
        console.print(Text(f"* {title}: {note}", style="dim"))
    _print_seeds(findings, console)
    console.print(Text(findings.headline()))


def _print_tables(console: Console, findings: Findings, title: str, sections) -> None:
    """Prints (heading, rows) sections for all models, beside each other where they fit."""
    for models in _blocks(findings, console.width):
        console.print(_table(findings, models, title, sections))
        console.print()


def _print_seeds(findings: Findings, console: Console) -> None:
    """The means over sets, over training seeds; sets one by one are in the report."""
    titles = seed_titles(findings)
    if not titles:
        return
    console.print(Text("\nOver training seeds", style="bold"))
    console.print(Text(SPREAD, style="dim"))
    for key, title in titles.items():
        console.print(Text(f"  {title}"))
        for role in findings.roles:
            (mean,) = (row for row in seed_rows(findings, role) if row.is_mean)
            cells = zip(findings.columns, mean.cells[key], strict=True)
            numbers = ", ".join(f"{column.title} {cell.text}" for column, cell in cells)
            console.print(Text(f"    {mean.title}: {numbers}"))
    console.print()


def _model_width(findings: Findings) -> int:
    return (_NUMBER_WIDTH + 1) * len(findings.columns) - 1


def _blocks(findings: Findings, width: int) -> list[list[dict]]:
    """Models in blocks as wide as the terminal, each with the first model to compare with."""
    models = findings.models
    fitting = (width - _TITLE_WIDTH - 2) // (_model_width(findings) + 2)
    if len(models) <= fitting:
        return [models]
    if fitting < 2:
        return [[model] for model in models]
    first, rest = models[0], models[1:]
    starts = range(0, len(rest), fitting - 1)
    return [[first, *rest[start : start + fitting - 1]] for start in starts]


def _table(findings: Findings, models: list[dict], title: str, sections) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(
        Text(f"{title}\n{findings.convention}"),
        max_width=_TITLE_WIDTH,
        overflow="ellipsis",
        no_wrap=True,
    )
    titles = (column.short or column.title for column in findings.columns)
    units = " ".join(f"{title:>{_NUMBER_WIDTH}}" for title in titles)
    width = _model_width(findings)
    for model in models:
        heading = Text(f"{model['label']}\naccuracy {100 * model['accuracy']:.2f}\n{units}")
        table.add_column(heading, min_width=width, max_width=width)
    for heading, rows in sections:
        table.add_row(Text(heading, style="bold"))
        for row in rows:
            table.add_row(*_line(row, models), end_section=row is rows[-1])
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
