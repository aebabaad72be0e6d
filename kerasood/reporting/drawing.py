"""Looks of the plots, and figures as SVG for a page."""

import html
import io
import re
import warnings

import matplotlib
from matplotlib.figure import Figure

INK, MUTED, HAIRLINE = "#1f2328", "#6a737d", "#d5d9de"
IN_COLOUR, OUT_COLOUR = "#7d8793", "#b3446c"
# Distinct for all common kinds of colour blindness; the first model is the one compared with.
MODEL_COLOURS = ("#88909a", "#0072b2", "#d98200", "#00916a", "#8c5fb8")

# The page's style sheet may restate these colours, for instance for a dark background.
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    HAIRLINE: "--hairline",
    IN_COLOUR: "--in",
    OUT_COLOUR: "--out",
    **{colour: f"--model-{index}" for index, colour in enumerate(MODEL_COLOURS)},
}


def model_colour(index: int) -> str:
    return MODEL_COLOURS[index % len(MODEL_COLOURS)]


def new_figure(width: float, height: float) -> Figure:
    """A figure of that size in inches, bound to no window and no global state."""
    return Figure(figsize=(width, height), dpi=100)


def clean_axes(axes, grid: str | None = None) -> None:
    """Leaves the axes a bottom line and quiet tick labels."""
    axes.patch.set_visible(False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(HAIRLINE)
    axes.tick_params(length=0, colors=MUTED, labelsize=8, pad=3)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=HAIRLINE, linewidth=0.7)


def write(target, x: float, y: float, text: str, **style):
    """Text on axes or a figure; never read as mathematics, since names of sets are the user's."""
    style = {"color": INK, "fontsize": 8.5, "va": "center", **style}
    return target.text(x, y, text, parse_math=False, **style)


def shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def to_svg(figure: Figure, description: str = "") -> str:
    """The figure as an inline SVG element: text as text, the same bytes for the same figure.

    Args:
        figure: a matplotlib figure.
        description: what it shows, for readers who cannot see it.

    Returns:
        `<svg ...>...</svg>`, as wide as its container allows, colours open to a style sheet.
    """
    buffer = io.StringIO()
    settings = {"svg.hashsalt": "kerasood", "svg.fonttype": "none",
                "path.simplify_threshold": 0.8}  # pixels; thousands of points become some dozens
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The reader's browser has fonts for names that matplotlib's own font cannot draw.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"'DejaVu Sans'[^\";]*", "system-ui, sans-serif", svg)
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable}, {colour})")
    label = html.escape(description, quote=True)
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", _without_unused_ids(svg), count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _without_unused_ids(svg: str) -> str:
    """Several figures share a page, and ids like "axes_1" would be there twice."""
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    return re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
