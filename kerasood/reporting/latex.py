"""Tables of blocks as LaTeX, for the package booktabs."""

import re

from kerasood.reporting import blocks

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "−": "$-$", "–": "--",
}
_PATTERN = re.compile("|".join(map(re.escape, _SPECIAL)))


def render(parts) -> str:
    """All tables of blocks, each below a comment with its heading."""
    texts, heading = ["% Needs \\usepackage{booktabs}."], ""
    for block in blocks.walk(parts):
        if isinstance(block, blocks.Heading):
            heading = block.text
        elif isinstance(block, blocks.Details):
            heading = block.summary
        elif isinstance(block, blocks.Table):
            texts.append(f"% {' '.join(heading.split())}\n{_table(block)}")
    return "\n\n".join(texts) + "\n"


def escape(text: str) -> str:
    """Text without any character that LaTeX would take as a command."""
    return _PATTERN.sub(lambda found: _SPECIAL[found[0]], " ".join(text.split()))


def _table(block: blocks.Table) -> str:
    columns = "".join("l" if index in block.words else "r" for index in range(len(block.titles)))
    corner = f"{block.corner} ({block.convention})" if block.convention else block.corner
    lines = [r"\begin{tabular}{l" + columns + "}", r"\toprule"]
    if block.groups:
        groups = [rf"\multicolumn{{{width}}}{{c}}{{{escape(label)}}}" for label, width in
                  block.groups]
        lines.append(" & ".join(["", *groups]) + r" \\")
    lines += [" & ".join(map(escape, (corner, *block.titles))) + r" \\", r"\midrule"]
    for row in block.rows:
        if row.kind == "mean":
            lines.append(r"\midrule")
        title = escape(row.marked_title)
        title = rf"\textit{{{title}}}" if row.kind == "heading" else title
        lines.append(" & ".join([title, *map(_cell, row.cells)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _cell(cell: blocks.Cell) -> str:
    text = escape(cell.full_text)
    below = " ".join(escape(span.text) for span in cell.below)
    text = rf"\textbf{{{text}}}" if cell.style == "best" else text
    return f"{text} ({below})" if below else text
