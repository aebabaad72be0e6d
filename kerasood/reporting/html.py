"""Blocks as one HTML page that asks the network for nothing."""

from html import escape

from kerasood.reporting import blocks
from kerasood.reporting.drawing import to_svg
from kerasood.reporting.page_style import CSS


def render(title: str, parts) -> str:
    """A whole page: inline style, inline SVG and pictures, no script, every name escaped."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        + _blocks(parts)
        + "\n</body>\n</html>\n"
    )


def _blocks(parts) -> str:
    return "\n".join(map(_block, parts))


def _block(block) -> str:
    match block:
        case blocks.Heading():
            return f"<h{block.level}>{escape(block.text)}</h{block.level}>"
        case blocks.Text():
            return f"<p{_classes(block.tone)}>{_line(block.parts)}</p>"
        case blocks.Bullets():
            items = "".join(f"<li>{_line(item)}</li>" for item in block.items)
            return f"<ul>{items}</ul>"
        case blocks.Code():
            return f"<pre>{escape(block.text)}</pre>"
        case blocks.Table():
            return _table(block)
        case blocks.Figure():
            return f"<figure>{to_svg(block.draw(), block.description)}</figure>"
        case blocks.Images():
            return f'<div class="images">{"".join(map(_image, block.items))}</div>'
        case blocks.Details():
            summary = f"<summary>{escape(block.summary)}</summary>"
            return f"<details>{summary}\n{_blocks(block.blocks)}</details>"


def _line(parts) -> str:
    return "".join(
        _span(part.text, part.style) if isinstance(part, blocks.Span) else escape(part)
        for part in parts
    )


def _span(text: str, style: str) -> str:
    if style in ("strong", "code"):
        return f"<{style}>{escape(text)}</{style}>"
    return f"<span{_classes(style)}>{escape(text)}</span>" if style else escape(text)


def _image(image: blocks.Image) -> str:
    return (
        f'<div><img src="data:image/png;base64,{escape(image.png)}" '
        f'alt="{escape(image.description)}" title="{escape(image.description)}">'
        f"<small>{escape(image.caption)}</small></div>"
    )


def _table(block: blocks.Table) -> str:
    corner = escape(block.corner)
    if block.convention:
        corner += f"<br><small>{block.convention}</small>"
    groups = "".join(
        f'<th class="first" colspan="{width}">{escape(label)}</th>'
        for label, width in block.groups
    )
    titles = "".join(
        f"<th{_column_classes(block, index)}>{escape(title)}</th>"
        for index, title in enumerate(block.titles)
    )
    head = f"<tr><th>{corner}</th>{titles}</tr>"
    if groups:
        head = f"<tr><th></th>{groups}</tr>{head}"
    body = "\n".join(_row(row, block) for row in block.rows)
    first, *below = block.lines or ("",)
    key = f'<p class="quiet">Large: {first}. Small: {", ".join(below)}.</p>\n' if below else ""
    return (
        f'{key}<div class="scroll"><table>\n<thead>{head}</thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _row(row: blocks.Row, block: blocks.Table) -> str:
    scope = "rowgroup" if row.kind == "heading" else "row"
    cells = "".join(
        f"<td{_column_classes(block, index, cell.style)}>{_cell(cell)}</td>"
        for index, cell in enumerate(row.cells)
    )
    title = f'<th scope="{scope}">{escape(row.marked_title)}</th>'
    return f"<tr{_classes(row.kind)}>{title}{cells}</tr>"


def _cell(cell: blocks.Cell) -> str:
    bar = ""
    if cell.share is not None:
        bar = f'<span class="share"><i style="width:{100 * cell.share:.1f}%"></i></span>'
    spread = f' <small>± {escape(cell.spread)}</small>' if cell.spread else ""
    below = " ".join(_span(span.text, span.style) for span in cell.below)
    return f"{bar}{escape(cell.text)}{spread}" + (f"<small>{below}</small>" if below else "")


def _column_classes(block: blocks.Table, index: int, style: str = "") -> str:
    first = "first" if index in block.group_starts else ""
    return _classes(first, style, "left" if index in block.words else "")


def _classes(*names: str) -> str:
    found = " ".join(filter(None, names))
    return f' class="{found}"' if found else ""
