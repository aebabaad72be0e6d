"""Blocks in the terminal."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kerasood.reporting import blocks

_WIDTH = 100
_TITLE_WIDTH = 24
_WORD = 10
_STYLES = {"strong": "bold", "code": "bold", "good": "green", "bad": "red", "warn": "yellow",
           "best": "bold green"}
_TONES = {"": "", "quiet": "dim", "finding": "bold"}
_KINDS = {"heading": "bold", "mean": "italic"}


def show(parts, console: Console | None = None) -> None:
    """Prints blocks, figures and pictures left out.

    Args:
        parts: blocks.
        console: where to; by default the standard output, 100 columns wide where it is no terminal.
    """
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=_WIDTH)
    for block in blocks.walk(parts):
        _show(block, console)


def _show(block, console: Console) -> None:
    match block:
        case blocks.Heading():
            console.print(Text(f"\n{block.text}", style="bold"))
        case blocks.Text():
            console.print(_line(block.parts, _TONES[block.tone]))
        case blocks.Bullets():
            for item in block.items:
                console.print(_line(("* ", *item), "dim"))
        case blocks.Code():
            console.print(Text(block.text))
        case blocks.Details():
            console.print(Text(f"\n{block.summary}", style="bold"))
        case blocks.Table():
            for columns in _chunks(block, console.width):
                console.print(_table(block, columns))
                console.print()


def _line(parts, style: str = "") -> Text:
    line = Text(style=style)
    for part in parts:
        if isinstance(part, blocks.Span):
            line.append(part.text, _STYLES.get(part.style, ""))
        else:
            line.append(part)
    return line


def _chunks(block: blocks.Table, width: int) -> list[list[int]]:
    """Columns in tables as wide as the terminal; a group stays whole where it fits alone."""
    room = width - min(_TITLE_WIDTH, width // 2) - 10 * bool(block.lines)
    widths = [_width(block, index) + 1 for index in range(len(block.titles))]
    starts, chunks, used = block.group_starts, [], 0
    for index, own in enumerate(widths):
        end = min((start for start in starts if start > index), default=len(widths))
        whole = sum(widths[index:end]) if index in starts else own
        needed = whole if whole <= room else own
        if not chunks or used + needed > room:
            chunks.append([])
            used = 0
        chunks[-1].append(index)
        used += own
    return chunks


def _width(block: blocks.Table, index: int) -> int:
    texts = [row.cells[index].full_text for row in block.rows if row.cells]
    below = [span.text for row in block.rows if row.cells for span in row.cells[index].below]
    words = [word[:_WORD] for word in block.headings[index].split()]
    return max(map(len, (*texts, *below, *words)), default=0)


def _table(block: blocks.Table, columns: list[int]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    corner = f"{block.corner}\n{block.convention}".rstrip()
    table.add_column(Text(corner), max_width=_TITLE_WIDTH, overflow="ellipsis", no_wrap=True)
    if block.lines:
        table.add_column("")
    for index in columns:
        width = _width(block, index)
        table.add_column(
            Text(block.headings[index]), min_width=min(width, _TITLE_WIDTH), max_width=width,
            justify="left" if index in block.words else "right", overflow="fold",
        )
    for row, following in zip(block.rows, (*block.rows[1:], None), strict=False):
        last = following is not None and following.kind == "heading"
        _add_rows(table, block, columns, row, last)
    return table


def _add_rows(table: Table, block: blocks.Table, columns, row: blocks.Row, last: bool) -> None:
    title = Text(row.marked_title, style=_KINDS.get(row.kind, ""))
    if row.kind == "heading":
        table.add_row(title)
        return
    cells = [row.cells[index] for index in columns]
    texts = [Text(cell.full_text, _STYLES.get(cell.style, "")) for cell in cells]
    table.add_row(title, *([""] if block.lines else []), *texts, end_section=last)
    for index, name in enumerate(block.lines[1:]):
        below = [cell.below[index].text if index < len(cell.below) else "" for cell in cells]
        if any(below):
            table.add_row("", Text(name, "dim"), *(Text(text, "dim") for text in below))
