"""A report as the terminal shows it, and the check that its HTML is well formed."""

import io
from html.parser import HTMLParser

from rich.console import Console

from kerasood import reporting


def printed(results, width=100):
    output = io.StringIO()
    reporting.print_summary(results, Console(file=output, width=width))
    return output.getvalue()


class Balance(HTMLParser):
    """Every opened element is closed, in order; collects tags and attributes."""

    void = ("meta", "br", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
