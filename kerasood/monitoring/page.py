"""Findings of monitoring: as a page, and as text for Prometheus."""

import datetime

from kerasood.monitoring.windows import Monitoring
from kerasood.reporting import blocks, html
from kerasood.reporting.drawing import IN_COLOUR, OUT_COLOUR, clean_axes, new_figure, write


def page(found: Monitoring) -> str:
    """A self-contained HTML page of a Monitoring: str."""
    tone = "finding" if found.drifted else ""
    parts = [
        blocks.Heading(f"Monitoring of {found.name}", 1),
        blocks.Text((blocks.Span(str(found), "bad" if found.drifted else "good"),), tone),
        blocks.Text((_how_to_read(found),), "quiet"),
    ]
    if found.windows:
        figure = blocks.Figure(
            "windows", "Share of answers flagged in each window, and what passes",
            lambda: _figure(found),
        )
        parts += [blocks.Heading("Windows"), figure, _table(found)]
    return html.render(f"Monitoring of {found.name}", parts)


def prometheus(found: Monitoring) -> str:
    """Metrics in Prometheus's text format, for instance for node_exporter's textfile collector."""
    label = found.name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    flagged = sum(window.report.num_flagged for window in found.windows)
    images = sum(window.report.num_images for window in found.windows)
    values = {
        "kerasood_drift": (int(found.drifted), "1 when answers drifted, else 0"),
        "kerasood_windows": (len(found.windows), "windows checked"),
        "kerasood_images": (images, "answers in whole windows"),
        "kerasood_flagged": (flagged, "answers in whole windows that were flagged as OOD"),
        "kerasood_promised_share": (found.promised, "share that should be flagged on average"),
    }
    if found.windows:
        values["kerasood_flagged_share"] = (
            found.windows[-1].flagged_share, "share flagged in the last whole window"
        )
    if found.evidence is not None:
        values["kerasood_drift_evidence"] = (found.evidence, "evidence of all answers for drift")
    return "".join(
        f"# HELP {name} {text}.\n# TYPE {name} gauge\n{name}{{model=\"{label}\"}} {value:.10g}\n"
        for name, (value, text) in values.items()
    )


def _how_to_read(found):
    return (
        f"The threshold flags {found.promised:.1%} of in-distribution images on average. A window "
        "drifts when calibration and chance fail to explain how many were flagged, more or fewer; "
        f"the probability that there is ever a false alarm is at most {found.significance:g}. "
        f"{found.waiting:,} answers wait for their window to be whole."
    )


def _table(found):
    rows = []
    for window in reversed(found.windows):
        report = window.report
        low, high = report.expected
        verdict = blocks.Cell("drift", style="bad") if report.drifted else blocks.Cell("no")
        cells = (
            blocks.Cell(_time(window.started)), blocks.Cell(f"{report.num_images:,}"),
            blocks.Cell(f"{window.flagged_share:.1%}"), blocks.Cell(f"{low:,} to {high:,}"),
            blocks.Cell(f"{report.num_flagged:,}"), blocks.Cell(f"{report.p_value:.2g}"), verdict,
        )
        rows.append(blocks.Row(str(window.number), cells))
    titles = ("from", "answers", "flagged", "expected", "found", "p", "drift")
    return blocks.Table("window", titles, tuple(rows), words=(0, 6))


def _time(seconds):
    if seconds is None:
        return "no time"
    when = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return when.strftime("%Y-%m-%d %H:%M UTC")


def _figure(found):
    figure = new_figure(7, 2.4)
    axes = figure.subplots()
    clean_axes(axes, "y")
    numbers = [window.number for window in found.windows]
    limits = [window.report.expected for window in found.windows]
    sizes = [max(window.report.num_images, 1) for window in found.windows]
    low, high = (
        [100 * pair[end] / size for pair, size in zip(limits, sizes, strict=True)] for end in (0, 1)
    )
    axes.fill_between(numbers, low, high, color=IN_COLOUR, alpha=0.25, linewidth=0)
    shares = [100 * window.flagged_share for window in found.windows]
    axes.plot(numbers, shares, color=OUT_COLOUR, marker="o", markersize=3, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("window", fontsize=8)
    write(axes, 0, 1.06, "% flagged; the band passes", transform=axes.transAxes)
    return figure
