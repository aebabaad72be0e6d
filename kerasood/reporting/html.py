"""The report as one HTML page that asks the network for nothing."""

from html import escape

from kerasood.reporting.details import choices, images_used
from kerasood.reporting.findings import ROLE_TITLES, Findings, Row, percent
from kerasood.reporting.page_parts import document, escaped_list, table
from kerasood.reporting.plots import accuracy_figure, density_figure, roc_figure, to_svg
from kerasood.reporting.seeds import SPREAD, seed_rows, seed_titles


def page(results: dict, scores: dict) -> str:
    """The whole page.

    Args:
        results: as saved in results.json.
        scores: {(model, detector, set): (N,) scores}, ID images under the set name "in".

    Returns:
        HTML with inline style and inline SVG, no script; every name in it is escaped.
    """
    findings = Findings(results)
    sections = (
        _header(findings),
        _comparison(findings),
        _seeds(findings),
        _figures(findings, scores),
        _thresholds(findings),
        _flagged(findings),
        _detectors(findings),
        _missing(results["missing"]),
        _reproduction(findings),
    )
    return document(results["title"], sections)


def _header(findings: Findings) -> str:
    results = findings.results
    dataset, protocol = results["dataset"], results["protocol"]
    told = "".join(f"<p>{escape(part)}.</p>" for part in findings.told())
    return (
        f"<h1>{escape(results['title'])}</h1>\n"
        f'<p class="quiet">In-distribution: {escape(dataset["title"])}, '
        f"{escape(dataset['split'])} split, {dataset['num_images']:,} images. "
        f"{escape(results['date'][:10])}</p>\n"
        f'<div class="finding">{told}</div>\n'
        f'<p class="quiet">Protocol {escape(protocol["name"])}: {escape(protocol["description"])} '
        f"{escape(protocol['convention'])}</p>"
    )


def _comparison(findings: Findings) -> str:
    if not findings.sets:
        return ""
    body = []
    for role in findings.roles:
        body.append(f'<tr class="role"><th scope="rowgroup">{ROLE_TITLES[role]}</th></tr>')
        body += [_row(row, findings.labels) for row in findings.rows() if row.role == role]
    return (
        f"<h2>Before and after: {escape(findings.primary)}</h2>\n"
        '<p class="quiet">Percent; the best of each row and metric in bold.</p>\n'
        + _comparison_table("OOD set", body, findings.labels, findings)
    )


def _seeds(findings: Findings) -> str:
    titles = seed_titles(findings)
    if not titles:
        return ""
    body = []
    for role in findings.roles:
        body.append(f'<tr class="role"><th scope="rowgroup">{ROLE_TITLES[role]}</th></tr>')
        body += [_row(row, titles) for row in seed_rows(findings, role)]
    return (
        f"<h2>Over training seeds: {escape(findings.primary)}</h2>\n"
        f'<p class="quiet">Percent. {SPREAD}</p>\n'
        + _comparison_table("OOD set", body, titles, findings)
    )


def _figures(findings: Findings, scores: dict) -> str:
    results, primary = findings.results, escape(findings.primary)
    where = "" if findings.positive == "in" else ", its distance from the top"
    parts = []
    if findings.sets:
        roc = to_svg(roc_figure(results, scores), f"ROC curves of {findings.primary} by OOD set")
        densities = to_svg(
            density_figure(results, scores), f"Densities of {findings.primary} scores by OOD set"
        )
        parts += [
            f"<h2>ROC curves: {primary}</h2>",
            '<p class="quiet">Share of ID images against share of OOD images that a threshold '
            f"accepts; the further up and left the better. The dot is FPR95{where}.</p>",
            f"<figure>{roc}</figure>",
            f"<h2>Score densities: {primary}</h2>",
            '<p class="quiet">The less the two overlap the better. Every curve is scaled to its '
            "own peak.</p>",
            f"<figure>{densities}</figure>",
        ]
    accuracy = to_svg(accuracy_figure(results), "Accuracy of every model")
    title = escape(findings.results["dataset"]["title"])
    parts += [f"<h2>Accuracy on {title}</h2>", f"<figure>{accuracy}</figure>"]
    return "\n".join(parts)


def _thresholds(findings: Findings) -> str:
    entries = [(model["label"], findings.threshold(model["key"])) for model in findings.models]
    told = [
        f"<p>{_threshold_told(label, entry, findings.primary)}</p>"
        for label, entry in entries
        if entry
    ]
    return "\n".join(["<h2>Calibrated thresholds</h2>", *told]) if told else ""


def _threshold_told(label: str, entry: dict, detector: str) -> str:
    threshold, realised = entry["threshold"], entry["realised"]
    low, high = (f"{100 * bound:.1f}" for bound in realised["interval"])
    verdict = f'<span class="good">inside</span> the promised {low}–{high} %.'
    if not realised["inside"]:
        verdict = (
            f'<span class="bad">outside</span> the promised {low}–{high} %: the fresh images '
            "differ from those it was calibrated on by more than chance explains."
        )
    return (
        f"<strong>{escape(label)}</strong> flags an image as OOD when its {escape(detector)} score "
        f"is above <code>{threshold['value']:.6g}</code>, calibrated on "
        f"{escape(entry['calibrated_on'])}. At this threshold {100 * threshold['tpr']:g} % of "
        f"in-distribution images should be accepted: measured {100 * realised['rate']:.1f} % on "
        f"{realised['num_images']:,} fresh images, {verdict}"
    )


def _flagged(findings: Findings) -> str:
    entries = {key: findings.threshold(key) for key in findings.labels}
    entries = {key: entry for key, entry in entries.items() if entry}
    if not entries or not findings.sets:
        return ""
    heads = "".join(f"<th>{escape(findings.labels[key])}</th>" for key in entries)
    body = [
        f"<tr>{_set_head(of_set['title'], of_set.get('note', ''))}"
        + "".join(_share(entry["flagged"].get(of_set["name"])) for entry in entries.values())
        + "</tr>"
        for of_set in findings.sets
    ]
    return (
        "<h2>Share of each OOD set that is flagged</h2>\n"
        f'<p class="quiet">{escape(findings.primary)}, at the thresholds above.</p>\n'
        + table(f"<tr><th>OOD set</th>{heads}</tr>", body)
    )


def _share(share: float | None) -> str:
    if share is None:
        return "<td>–</td>"
    bar = f'<span class="share"><i style="width:{100 * share:.1f}%"></i></span>'
    return f"<td>{bar}{100 * share:.1f} %</td>"


def _detectors(findings: Findings) -> str:
    parts = []
    for role in findings.roles:
        body = [_row(row, findings.labels) for row in findings.detector_rows(role)]
        title = f"{ROLE_TITLES[role]} ({len(findings.of_role(role))})"
        parts.append(_comparison_table(title, body, findings.labels, findings))
    if not parts:
        return ""
    chosen = choices(findings)
    if chosen:
        parts += ['<p class="quiet">Parameters:</p>', escaped_list(chosen)]
    return "<details><summary>All detectors, means</summary>" + "\n".join(parts) + "</details>"


def _missing(missing: list[dict]) -> str:
    if not missing:
        return ""
    items = "".join(
        f"<li><strong>{escape(entry['title'])}</strong>: {escape(entry['how_to_get'])}</li>"
        for entry in missing
    )
    return f"<h2>Not evaluated: sets that were not at hand</h2>\n<ul>{items}</ul>"


def _reproduction(findings: Findings) -> str:
    results = findings.results
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    models = "".join(
        f"<li><strong>{escape(model['label'])}</strong>: {escape(model['description'])}</li>"
        for model in results["models"]
    )
    seeds = ": see the table over seeds" if results.get("seeds") else ""
    return (
        f"<h2>How to reproduce</h2>\n<pre>{escape(results['command'])}</pre>\n<ul>{models}</ul>\n"
        f"{images_table(findings)}"
        f'<p class="quiet">Commit {escape(results["commit"] or "unknown")}; '
        f"seed {results['seed']}; {escape(versions)}. Runs of one recipe with other seeds can "
        f"differ by several points{seeds}.</p>"
    )


def images_table(findings: Findings) -> str:
    """The images that results were computed from, behind a fold; empty when it is not known."""
    body = [
        f'<tr><th scope="row">{escape(title)}</th><td>{count}</td>'
        f"<td><code>{digest}</code></td></tr>"
        for title, count, digest in images_used(findings)
    ]
    if not body:
        return ""
    head = "<tr><th>Images</th><th>Number</th><th>SHA-256 of the pixels</th></tr>"
    return f"<details><summary>Images used</summary>{table(head, body)}</details>\n"


def _comparison_table(title: str, body: list[str], labels: dict, findings: Findings) -> str:
    columns = findings.columns
    models = "".join(
        f'<th class="first" colspan="{len(columns)}">{escape(label)}</th>'
        for label in labels.values()
    )
    units = "".join(
        f"<th{_first(index)}>{column.heading}</th>" for index, column in enumerate(columns)
    )
    corner = f"{title}<br><small>{findings.convention}</small>"
    return table(
        f"<tr><th></th>{models}</tr><tr><th>{corner}</th>{units * len(labels)}</tr>", body
    )


def _row(row: Row, labels: dict) -> str:
    cells = []
    for key in labels:
        for index, cell in enumerate(row.cells[key]):
            spread = "" if cell.std is None else f" <small>± {percent(cell.std)}</small>"
            cells.append(f"<td{_first(index, cell.best)}>{percent(cell.value)}{spread}</td>")
    opening = '<tr class="mean">' if row.is_mean else "<tr>"
    return f"{opening}{_set_head(row.title, row.note)}{''.join(cells)}</tr>"


def _first(index: int, best: bool = False) -> str:
    classes = " ".join(["first"] * (index == 0) + ["best"] * best)
    return f' class="{classes}"' if classes else ""


def _set_head(title: str, note: str) -> str:
    noted = f"<br><small>{escape(note)}</small>" if note else ""
    return f'<th scope="row">{escape(title)}{noted}</th>'
