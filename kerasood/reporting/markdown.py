"""Blocks as Markdown."""

from kerasood.reporting import blocks

_STYLES = {"strong": "**{}**", "good": "{}", "bad": "**{}**", "warn": "{}", "best": "**{}**"}


def render(parts) -> str:
    """Markdown text of blocks, which ends with a newline."""
    return "\n\n".join(filter(None, map(_block, parts))) + "\n"


def inline(text: str) -> str:
    """Keeps a name within its line and its table cell."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def table(titles: list[str], rows: list[list[str]], right=()) -> str:
    """A table of plain texts; the columns named in `right` are aligned there."""
    rules = ["---:" if index in right else "---" for index in range(len(titles))]
    return "\n".join(
        f"| {' | '.join(inline(cell) for cell in line)} |" for line in (titles, rules, *rows)
    )


def _block(block) -> str:
    match block:
        case blocks.Heading():
            return f"{'#' * block.level} {inline(block.text)}"
        case blocks.Text():
            return f"> {_line(block.parts)}" if block.tone == "finding" else _line(block.parts)
        case blocks.Bullets():
            return "\n".join(f"* {_line(item)}" for item in block.items)
        case blocks.Code():
            return f"```\n{block.text}\n```"
        case blocks.Table():
            return _table(block)
        case blocks.Figure():
            return f"![{inline(block.description)}]({block.name}.png)"
        case blocks.Images():
            return "\n".join(f"* {inline(image.description)}" for image in block.items)
        case blocks.Details():
            return f"### {inline(block.summary)}\n\n{render(block.blocks)}".rstrip()


def _line(parts) -> str:
    return "".join(
        inline_part(part.text, part.style) if isinstance(part, blocks.Span) else _escaped(part)
        for part in parts
    )


def inline_part(text: str, style: str) -> str:
    if style == "code":
        return f"`{' '.join(text.split())}`"
    return _STYLES.get(style, "{}").format(inline(text))


def _escaped(text: str) -> str:
    """As `inline`, but keeps the blanks at its ends, since a line has more parts."""
    return text.replace("\n", " ").replace("|", "\\|").replace("<", "&lt;")


def _table(block: blocks.Table) -> str:
    corner = f"{block.corner} ({block.convention})" if block.convention else block.corner
    titles = [corner, *([""] if block.lines else []), *block.headings]
    rows = []
    for row in block.rows:
        rows += _rows(row, block)
    first = 2 if block.lines else 1
    numbers = set(range(len(block.titles))) - set(block.words)
    return table(titles, rows, {first + number for number in numbers})


def _rows(row: blocks.Row, block: blocks.Table) -> list[list[str]]:
    title = row.title + r"\*" * row.noted
    title = f"**{title}**" if row.kind == "heading" else title
    title = f"*{title}*" if row.kind == "mean" else title
    if row.kind == "heading":
        return [[title, *([""] * (len(block.titles) + bool(block.lines)))]]
    cells = [_STYLES.get(cell.style, "{}").format(cell.full_text) for cell in row.cells]
    lines = [[title, *block.lines[:1], *cells]]
    for index, name in enumerate(block.lines[1:]):
        below = [cell.below[index].text if index < len(cell.below) else "" for cell in row.cells]
        if any(below):
            lines.append(["", name, *below])
    return lines
