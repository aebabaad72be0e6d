"""Pieces of HTML that every page is made of."""

from html import escape

from kerasood.reporting.page_style import CSS


def document(title: str, sections) -> str:
    """A whole page: inline style, no script, nothing asked of the network.

    Args:
        title: plain text.
        sections: HTML of the body's parts; empty ones are left out.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        + "\n".join(section for section in sections if section)
        + "\n</body>\n</html>\n"
    )


def table(head: str, body: list[str]) -> str:
    """A table that scrolls where the page is narrow, from the HTML of its rows."""
    rows = "\n".join(body)
    return (
        f'<div class="scroll"><table>\n<thead>{head}</thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def escaped_list(lines: list[str]) -> str:
    """Lines of plain text as a list."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
