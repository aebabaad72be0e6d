"""Blocks that a report is made of; every renderer shows each kind in its own way."""

import collections.abc
import dataclasses
import itertools
import typing


@dataclasses.dataclass(frozen=True)
class Span:
    """A piece of a line: plain text with a style of "strong", "code", "good", "bad" or "warn"."""

    text: str
    style: str = ""


Parts = tuple[str | Span, ...]


@dataclasses.dataclass(frozen=True)
class Heading:
    """A heading of level 1 (the report's title), 2 (a section) or 3."""

    text: str
    level: int = 2


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph; `tone` is "" or "quiet" or, for what a reader must not miss, "finding"."""

    parts: Parts
    tone: str = ""


@dataclasses.dataclass(frozen=True)
class Bullets:
    """A list of lines."""

    items: tuple[Parts, ...]


@dataclasses.dataclass(frozen=True)
class Code:
    """A command to type."""

    text: str


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        text: what it says.
        spread: digits of its deviation, shown after a ±; empty where there is none.
        style: as of a Span, or "best".
        below: further lines of the cell, of the kinds that `Table.lines` names.
        share: fraction that a bar shows, or None.
    """

    text: str
    spread: str = ""
    style: str = ""
    below: tuple[Span, ...] = ()
    share: float | None = None

    @property
    def full_text(self) -> str:
        return f"{self.text} ± {self.spread}" if self.spread else self.text


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table; its kind is "", "heading", "mean", "stand-in", "missing" or "ours".

    A note, which stands below the table, is announced by an asterisk.
    """

    title: str
    cells: tuple[Cell, ...] = ()
    kind: str = ""
    noted: bool = False

    @property
    def marked_title(self) -> str:
        return f"{self.title}*" if self.noted else self.title


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a first column of titles.

    Args:
        corner: heading of the first column.
        titles: headings of the other columns.
        rows: as many cells each as there are titles; rows of the kind "heading" have none.
        groups: (heading, number of columns) above the titles, all columns in order; or none.
        convention: which class is positive, shown with the corner; empty where it says nothing.
        words: columns, counted from 0 after the first, that hold words instead of numbers.
        lines: names of the lines of a cell, where cells have more below their text.
    """

    corner: str
    titles: tuple[str, ...]
    rows: tuple[Row, ...]
    groups: tuple[tuple[str, int], ...] = ()
    convention: str = ""
    words: tuple[int, ...] = ()
    lines: tuple[str, ...] = ()

    @property
    def group_starts(self) -> set[int]:
        """Columns, counted as in `words`, with which a group begins."""
        ends = itertools.accumulate((width for _, width in self.groups), initial=0)
        return set(list(ends)[:-1])

    @property
    def headings(self) -> list[str]:
        """The heading of every column but the first, with that of its group."""
        groups = [label for label, width in self.groups for _ in range(width)]
        groups = groups or [""] * len(self.titles)
        return [" ".join(filter(None, pair)) for pair in zip(groups, self.titles, strict=True)]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A drawing.

    Args:
        name: stem of its file, where a renderer needs one.
        description: what it shows, for readers who cannot see it.
        draw: function of nothing that returns a matplotlib figure.
    """

    name: str
    description: str
    draw: collections.abc.Callable[[], typing.Any]


@dataclasses.dataclass(frozen=True)
class Image:
    """A small picture: the base64 text of a PNG file, what is below it, and a description."""

    png: str
    caption: str
    description: str


@dataclasses.dataclass(frozen=True)
class Images:
    """Small pictures beside each other."""

    items: tuple[Image, ...]


@dataclasses.dataclass(frozen=True)
class Details:
    """Blocks that a page shows when asked."""

    summary: str
    blocks: tuple


def walk(blocks):
    """Yields all blocks in order, those inside of details too."""
    for block in blocks:
        yield block
        if isinstance(block, Details):
            yield from walk(block.blocks)
