"""The suite's report as one HTML page that asks the network for nothing."""

from html import escape

from kerasood.reporting.details import choices
from kerasood.reporting.drawing import to_svg
from kerasood.reporting.findings import COLUMNS, Findings, percent
from kerasood.reporting.html import images_table
from kerasood.reporting.page_parts import document, escaped_list, table
from kerasood.reporting.paper import mean_title, row_title, status_text
from kerasood.reporting.paper_markdown import (
    HOW_TO_READ,
    cell_of,
    method_title,
    paper_scope,
    points,
    scored_images,
    seeds_title,
    told,
    told_sections,
)
from kerasood.reporting.paper_numbers import MISPRINT, NETWORK
from kerasood.reporting.seeds import SPREAD

TITLE = "The paper's comparison, measured"
_COLUMNS = COLUMNS["in"]
_MARKS = {"published": "good", "partial": "warn", "stand-in": "warn", "missing": "bad"}


def page(results: dict, figures: dict) -> str:
    """The whole page.

    Args:
        results: of the suite.
        figures: {section name: [(stem, title, description, figure)]}.

    Returns:
        HTML with inline style and inline SVG, no script; every name in it is escaped.
    """
    parts = [_header(results)]
    for section in results["averaged"]:
        parts += _averaged(section)
    for of_section, section in zip(figures.values(), results["sections"], strict=True):
        parts += _section(section, of_section)
    parts += [
        f"<h2>{escape(entry['dataset'])}: not measured</h2><p>{entry['lack'].capitalize()}: "
        f"{_code(entry['how_to_get'])}.</p>"
        for entry in results["not_measured"]
    ]
    if results["missing"]:
        lines = [f"{entry['title']}: {entry['how_to_get']}" for entry in results["missing"]]
        parts.append(f"<h2>Sets that were not at hand</h2>{escaped_list(lines)}")
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    parts.append(
        f"<h2>How to reproduce</h2>\n<pre>{escape(results['command'])}</pre>\n"
        f'<p class="quiet">Commit {escape(results["commit"] or "unknown")}; seed '
        f"{results['seed']}; {escape(versions)}. One training run per section: runs of one recipe "
        "with other seeds can differ by several points.</p>"
    )
    return document(TITLE, parts)


def _header(results: dict) -> str:
    sentences = "".join(f"<p>{escape(told(section))}</p>" for section in told_sections(results))
    missing = "".join(
        f'<p><span class="bad">{escape(entry["dataset"])} was not measured</span>: '
        f"{entry['lack']}.</p>"
        for entry in results["not_measured"]
    )
    return (
        f"<h1>{TITLE}</h1>\n"
        f'<p class="quiet">Paper: Chen &amp; Li 2023, {NETWORK}. '
        f"{escape(results['date'][:10])}</p>\n"
        f'<div class="finding">{sentences}{missing}</div>\n<p class="quiet">{HOW_TO_READ}</p>'
    )


def _averaged(section: dict) -> list[str]:
    runs = ", ".join(f"<code>{escape(run)}</code>" for run in section["runs"])
    title = f"{section['dataset']['title']}: {section['models'][1]['label']}, "
    return [
        f'<h2 class="part">{escape(title + seeds_title(section))}</h2>',
        f'<p class="quiet">{runs}: {escape(section["recipe"])}. {SPREAD} '
        "The paper's is over draws of one model.</p>",
        "<h3>Table 1 over seeds</h3>",
        _table1(section),
        "<h3>Table 2 over seeds</h3>",
        _table2(section),
    ]


def _section(section: dict, figures: list) -> list[str]:
    dataset, comparison = section["dataset"], section["comparison"]
    findings = Findings(section)
    drawn = {
        stem: f"<h3>{escape(title)}</h3><figure>{to_svg(figure, description)}</figure>"
        for stem, title, description, figure in figures
    }
    chosen = choices(findings)
    misprint = dataset["name"] == "cifar10"
    return [
        f'<h2 class="part">{escape(dataset["title"])}</h2>',
        f'<p class="quiet"><code>{escape(section["run"])}</code>: {escape(section["trained"])}. '
        f"{scored_images(section)}. "
        f"{escape(section['protocol']['convention'])}</p>",
        _sets(comparison),
        "<h3>Table 1: before and after, energy</h3>",
        '<p class="quiet">Large: measured. Small: the paper\'s number and the difference.</p>',
        _table1(section),
        f'<p class="quiet">{MISPRINT}</p>' if misprint else "",
        drawn.pop("fpr95"),
        "<h3>Table 2: detectors on the base, and ours</h3>",
        f'<p class="quiet">{escape(mean_title(comparison))}. The paper prints MSP, ODIN and '
        "Mahalanobis as means of six sets only: without all six they do not compare.</p>",
        _table2(section),
        f"<details><summary>Chosen parameters</summary>{escaped_list(chosen)}</details>"
        if chosen
        else "",
        *drawn.values(),
        images_table(findings),
    ]


def _sets(comparison: dict) -> str:
    body = []
    for entry in comparison["sets"]:
        status = status_text(entry)
        body.append(
            f'<tr><th scope="row">{escape(entry["title"])}</th><td class="left">'
            f'<span class="{_MARKS[entry["status"]]}">{escape(status)}</span></td>'
            f'<td class="left">{escape(entry["note"])}</td></tr>'
        )
    heads = "".join(f'<th class="left">{title}</th>' for title in ("Images", "Note"))
    return table(f"<tr><th>The paper's set</th>{heads}</tr>", body)


def _table1(section: dict) -> str:
    comparison = section["comparison"]
    sets = {entry["name"]: entry for entry in comparison["sets"]}
    labels = [model["label"] for model in section["models"]]
    body = [
        _row(row_title(sets[row["set"]]), row["models"], sets[row["set"]]["status"])
        for row in comparison["table1"]
    ]
    body.append(_row(mean_title(comparison), comparison["mean"]["models"], "mean"))
    cells = "".join(
        f'<td class="first">{_cell(accuracy["measured"], accuracy, None)}</td><td></td><td></td>'
        for accuracy in comparison["accuracy"]
    )
    body.append(f'<tr><th scope="row">Accuracy</th>{cells}</tr>')
    return table(_head("OOD set", labels), body)


def _table2(section: dict) -> str:
    rows = section["comparison"]["table2"]
    body = []
    for row in rows:
        cells = []
        for index, column in enumerate(_COLUMNS):
            measured = row["measured"] and row["measured"][column.key]
            paper = row["paper"] and row["paper"][column.key]
            difference = row["difference"] and row["difference"][column.key]
            compared = {"paper": paper, "difference": difference}
            cells.append(f"<td{_first(index)}>{_cell(measured, compared, column)}</td>")
        opening = '<tr class="ours">' if row["method"] == "ours" else "<tr>"
        body.append(
            f'{opening}<th scope="row">{escape(method_title(row, section))}</th>{"".join(cells)}'
            f'<td class="left quiet">paper: {paper_scope(row)}</td></tr>'
        )
    return table(_head("Method", ["measured; the paper's and the difference"], extra=1), body)


def _head(title: str, labels: list[str], extra: int = 0) -> str:
    spans = "".join(f'<th class="first" colspan="3">{escape(label)}</th>' for label in labels)
    units = "".join(
        f"<th{_first(index)}>{column.heading}</th>" for index, column in enumerate(_COLUMNS)
    )
    corner = f"{title}<br><small>ID positive</small>"
    rest = "<th></th>" * extra
    return f"<tr><th></th>{spans}{rest}</tr><tr><th>{corner}</th>{units * len(labels)}{rest}</tr>"


def _row(title: str, models: list[dict], status: str) -> str:
    cells = []
    for model in models:
        for index, column in enumerate(_COLUMNS):
            measured, paper, difference = (
                model[kind] and model[kind][column.key]
                for kind in ("measured", "paper", "difference")
            )
            compared = {"paper": paper, "difference": difference}
            cells.append(f"<td{_first(index)}>{_cell(measured, compared, column)}</td>")
    kind = f' class="{status}"' if status in ("mean", "stand-in", "missing") else ""
    return f'<tr{kind}><th scope="row">{escape(title)}</th>{"".join(cells)}</tr>'


def _cell(measured, compared: dict, column) -> str:
    """A measured number, and below it the paper's and the difference, coloured by its direction."""
    mean = cell_of(measured)
    spread = "" if mean.std is None else f' <span class="quiet">± {percent(mean.std)}</span>'
    paper = cell_of(compared["paper"])
    difference = compared["difference"]
    below = f"<small>{percent(paper.value)}"
    if difference is not None:
        lower = column is not None and column.lower_is_better
        better = difference < 0 if lower else difference > 0
        below += f' <span class="{"good" if better else "bad"}">{points(difference)}</span>'
    return f"{percent(mean.value)}{spread}{below}</small>"


def _first(index: int) -> str:
    return ' class="first"' if index == 0 else ""


def _code(text: str) -> str:
    """Escaped text whose part between backticks is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
