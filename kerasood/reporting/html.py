"""Blocks as one HTML page that asks the network for nothing."""

from html import escape

from kerasood.reporting import blocks
from kerasood.reporting.drawing import to_svg


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


CSS = """
:root { color-scheme: light dark; --page: #fff; --panel: #f6f7f9; --ink: #1f2328; --muted: #5f6873;
  --hairline: #d5d9de; --in: #7d8793; --out: #b3446c; --good: #00704f; --bad: #b3261e;
  --warn: #8a5a00;
  --model-0: #7b848f; --model-1: #0072b2; --model-2: #c47500; --model-3: #00855f;
  --model-4: #8c5fb8; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --panel: #1c2024; --ink: #e6e8eb;
  --muted: #9aa4af; --hairline: #3a4047; --in: #a3adb8; --out: #e0789f; --good: #4cc79c;
  --bad: #ff8a80; --warn: #f0b35a; --model-0: #a3adb8; --model-1: #4aa8e0; --model-2: #f0a63a;
  --model-3: #2fbf93;
  --model-4: #b48ce0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2.5rem 1.25rem 4rem; background: var(--page);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.8rem 0 .5rem; }
p { margin: .4rem 0 .9rem; max-width: 48rem; }
.quiet { color: var(--muted); font-size: .88rem; }
.finding { font-size: 1.15rem; line-height: 1.5; margin: 1.4rem 0 .6rem; padding: 1rem 1.2rem;
  background: var(--panel); border-left: 4px solid var(--model-1); border-radius: 0 6px 6px 0;
  max-width: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .5rem; text-align: right; white-space: nowrap; font-weight: 400; }
th:first-child { text-align: left; padding-left: 0; white-space: normal; min-width: 10rem;
  position: sticky; left: 0; background: var(--page); }
thead th { color: var(--muted); vertical-align: bottom; }
thead tr:last-child th { border-bottom: 1px solid var(--hairline); }
thead th { white-space: normal; }
thead th[colspan] { color: var(--ink); font-weight: 600; text-align: center; }
tbody tr.heading th { font-weight: 600; padding-top: .9rem; }
tbody tr.mean th, tbody tr.mean td { border-top: 1px solid var(--hairline); font-style: italic; }
td.first, th.first { padding-left: 1.5rem; }
td.best { font-weight: 700; }
small { color: var(--muted); }
td small { display: block; line-height: 1.25; font-weight: 400; }
figure { margin: .8rem 0 0; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 42rem; height: auto; }
.share { display: inline-block; width: 7rem; height: .55rem; margin-right: .6rem;
  border-radius: 3px; background: var(--panel); overflow: hidden; }
.share i { display: block; height: 100%; background: var(--out); }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.warn { color: var(--warn); font-weight: 600; }
td.code { font: .8rem ui-monospace, monospace; }
.images { display: flex; flex-wrap: wrap; gap: .7rem; }
.images div { width: 5.5rem; }
.images img { width: 5.5rem; height: 5.5rem; object-fit: contain; image-rendering: pixelated;
  background: var(--panel); border-radius: 4px; }
.images small { display: block; line-height: 1.2; overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
th.left, td.left { text-align: left; white-space: normal; padding-left: 1.2rem; }
td .quiet, small span { font-size: inherit; font-weight: 400; }
tr.stand-in th, tr.stand-in td, tr.missing th, tr.missing td { color: var(--muted); }
tr.ours th, tr.ours td { border-top: 1px solid var(--hairline); }
summary { cursor: pointer; font-size: 1.15rem; font-weight: 600; margin: 2.8rem 0 .5rem; }
pre { background: var(--panel); padding: .8rem 1rem; border-radius: 6px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
code, pre { font: .85rem/1.5 ui-monospace, monospace; }
li { margin: .2rem 0; }
@media (max-width: 40rem) { body { padding: 1.5rem .8rem 3rem; }
  th, td { padding: .28rem .3rem; }
  th:first-child { min-width: 6.5rem; max-width: 8rem; }
  td.first, th.first { padding-left: .6rem; } }
@media print { body { max-width: none; padding: 0; } h2, figure, tr { break-inside: avoid; } }
"""
