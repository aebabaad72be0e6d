"""The report as Markdown."""

from kerasood.reporting.details import choices, images_used
from kerasood.reporting.findings import ROLE_TITLES, Findings, Row, percent
from kerasood.reporting.seeds import SPREAD, seed_rows, seed_titles

IMAGES_TITLES = ["Images", "Number", "SHA-256 of the pixels"]


def to_markdown(results: dict) -> str:
    """The whole report.

    Args:
        results: as saved in results.json.

    Returns:
        Markdown text that ends with a newline.
    """
    findings = Findings(results)
    sections = (
        _header(findings),
        _models(findings),
        _comparison(findings),
        _seeds(findings),
        _detectors(findings),
        _thresholds(findings),
        _missing(results["missing"]),
        _reproduction(findings),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _header(findings: Findings) -> str:
    results = findings.results
    dataset, protocol = results["dataset"], results["protocol"]
    return "\n\n".join(
        (
            f"# {inline(results['title'])}",
            f"**{inline(findings.headline())}**",
            f"* In-distribution: {inline(dataset['title'])}, {inline(dataset['split'])} split, "
            f"{dataset['num_images']:,} images\n"
            f"* Protocol `{protocol['name']}`: {protocol['description']}\n"
            f"* Convention: {protocol['convention']}",
        )
    )


def _models(findings: Findings) -> str:
    rows = [
        [model["label"], f"{percent(model['accuracy'])} %", model["description"]]
        for model in findings.models
    ]
    table = markdown_table(["Model", "Accuracy", "What it is"], rows, right=(1,))
    return f"## Models\n\n{table}"


def _comparison(findings: Findings) -> str:
    lines = []
    for role in findings.roles:
        lines.append(_role_line(role, findings.labels, findings))
        lines += [_cells_of(row, findings.labels) for row in findings.rows() if row.role == role]
    parts = [
        f"## Before and after: {findings.primary}",
        "Percent; the best of each row and metric in bold.",
        _comparison_table("OOD set", lines, findings.labels, findings),
    ]
    notes = [f"* {inline(title)}: {inline(note)}" for title, note in findings.notes()]
    return "\n\n".join(part for part in (*parts, "\n".join(notes)) if part)


def _seeds(findings: Findings) -> str:
    titles = seed_titles(findings)
    if not titles:
        return ""
    lines = []
    for role in findings.roles:
        lines.append(_role_line(role, titles, findings))
        lines += [_cells_of(row, titles) for row in seed_rows(findings, role)]
    return "\n\n".join(
        (
            f"## Over training seeds: {findings.primary}",
            f"Percent. {SPREAD}",
            _comparison_table("OOD set", lines, titles, findings),
        )
    )


def _detectors(findings: Findings) -> str:
    parts = ["## All detectors, means"]
    for role in findings.roles:
        lines = [_cells_of(row, findings.labels) for row in findings.detector_rows(role)]
        title = f"{ROLE_TITLES[role]} ({len(findings.of_role(role))})"
        parts.append(_comparison_table(title, lines, findings.labels, findings))
    chosen = "\n".join(f"* {inline(line)}" for line in choices(findings))
    if chosen:
        parts += ["Parameters:", chosen]
    return "\n\n".join(parts)


def _thresholds(findings: Findings) -> str:
    entries = findings.results["thresholds"]
    if not entries:
        return ""
    titles = ["Model", "Detector", "Threshold", "Target", "Promised", "Measured", "Inside?"]
    titles += [f"Flagged: {entry['title']}" for entry in findings.sets]
    rows = [_threshold_row(entry, findings) for entry in entries]
    calibrated_on = "; ".join(dict.fromkeys(entry["calibrated_on"] for entry in entries))
    return "\n\n".join(
        (
            "## Thresholds",
            f"Calibrated on {inline(calibrated_on)}. An image is flagged as OOD when its score is "
            "above the threshold. Target: share of ID images to accept; promised: interval for "
            "the share accepted of the fresh ID images on which it was then measured. Percent.",
            markdown_table(titles, rows, right=range(2, len(titles))),
        )
    )


def _threshold_row(entry: dict, findings: Findings) -> list[str]:
    threshold, realised = entry["threshold"], entry["realised"]
    low, high = realised["interval"]
    flagged = [percent(entry["flagged"].get(of_set["name"])) for of_set in findings.sets]
    return [
        findings.labels[entry["model"]],
        entry["detector"],
        f"{threshold['value']:.6g}",
        percent(threshold["tpr"]),
        f"{percent(low)} – {percent(high)}",
        f"{percent(realised['rate'])} of {realised['num_images']:,}",
        "yes" if realised["inside"] else "**no**",
        *flagged,
    ]


def _missing(missing: list[dict]) -> str:
    if not missing:
        return ""
    lines = [
        f"* {inline(entry['title'])} (`{entry['name']}`): {inline(entry['how_to_get'])}"
        for entry in missing
    ]
    return "\n".join(["## Not evaluated: sets that were not at hand", "", *lines])


def _reproduction(findings: Findings) -> str:
    results = findings.results
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    parts = [
        "## Reproduce",
        f"```\n{results['command']}\n```",
        f"Commit {results['commit'] or 'unknown'}; seed {results['seed']}; {results['date']}; "
        f"{versions}.",
    ]
    images = images_used(findings)
    if images:
        parts.append(markdown_table(IMAGES_TITLES, images, right=(1,)))
    parts.append(
        "Runs of one recipe with other seeds can differ by several points"
        + (": see the table over seeds." if findings.results.get("seeds") else ".")
    )
    return "\n\n".join(parts)


def _comparison_table(title: str, lines: list, labels: dict, findings: Findings) -> str:
    titles = [f"{title} ({findings.convention})"] + [
        f"{label} {column.heading}" for label in labels.values() for column in findings.columns
    ]
    return markdown_table(titles, lines, right=range(1, len(titles)))


def _role_line(role: str, labels: dict, findings: Findings) -> list[str]:
    return [f"**{ROLE_TITLES[role]}**"] + [""] * (len(findings.columns) * len(labels))


def _cells_of(row: Row, labels: dict) -> list[str]:
    cells = [cell for key in labels for cell in row.cells[key]]
    texts = [f"**{cell.text}**" if cell.best else cell.text for cell in cells]
    return [f"*{row.title}*" if row.is_mean else row.title, *texts]


def markdown_table(titles: list[str], rows: list[list[str]], right=()) -> str:
    rules = ["---:" if index in right else "---" for index in range(len(titles))]
    return "\n".join(
        f"| {' | '.join(inline(cell) for cell in line)} |" for line in (titles, rules, *rows)
    )


def inline(text: str) -> str:
    """Keeps a name within its line and its table cell."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")
