"""The sections of a report, each written once: results JSON -> blocks."""

from kerasood.evaluation.means import SPREAD, spread
from kerasood.reporting.blocks import (
    Bullets,
    Cell,
    Details,
    Figure,
    Heading,
    Image,
    Images,
    Row,
    Table,
    Text,
)
from kerasood.reporting.decision import best_pair, comparison_sentences, decision
from kerasood.reporting.details import choices, images_table, missing, reproduction, thresholds
from kerasood.reporting.examples import example_images
from kerasood.reporting.findings import (
    AUROC,
    FPR95,
    ROLE_TITLES,
    Findings,
    Group,
    count_of_sets,
    percent,
    with_best,
)
from kerasood.reporting.plots import density_figure, roc_figure

# A figure shows the base and at most three others, so that no curves lie over each other unseen.
_COLUMNS = 4


def report(results: dict, scores: dict | None = None, sources: dict | None = None) -> list:
    """All blocks of a report.

    Args:
        results: as saved in results.json.
        scores: {(model, detector, set): (N,) scores}, ID images under the set name "in"; without
            them there are no figures.
        sources: {"in" or set name: ImageSource} of the images that were scored; without them there
            are no example images.
    """
    findings = Findings(results)
    dataset, protocol = results["dataset"], results["protocol"]
    return [
        Heading(results["title"], 1),
        Text((f"In-distribution: {dataset['title']}, {dataset['split']} split, "
              f"{dataset['num_images']:,} images. {results['date'][:10]}",), "quiet"),
        *_decision(findings),
        *(_examples(example_images(findings, scores, sources)) if sources else ()),
        *comparisons(findings),
        *_notes(findings),
        *_detectors(findings),
        *_figures(findings, scores),
        *thresholds(findings),
        *_runs(findings),
        *missing(results["missing"]),
        *reproduction(results),
        *images_table(findings),
        Text((f"Protocol {protocol['name']}: {protocol['description']} "
              f"{protocol['convention']}",), "quiet"),
    ]


def summary(results: dict) -> list:
    """The blocks that the terminal shows."""
    findings = Findings(results)
    protocol = results["protocol"]
    how = f"Detector {findings.primary}, protocol {protocol['name']}, percent."
    return [
        *comparisons(findings, f"{results['dataset']['title']}: "),
        Text((f"{how} {protocol['convention']}",), "quiet"),
        *_notes(findings),
        *(means_of_detectors(findings) if len(findings.detectors) > 1 else ()),
        *_decision(findings),
    ]


def comparisons(findings: Findings, start: str = "") -> list:
    """A table per family: every metric with its models beside each other."""
    blocks = []
    for family in findings.families if findings.sets else ():
        tuned = any(group.is_tuned for group in family[1:])
        several = "Before and after" if tuned else "Side by side"
        beside = several if len(family) > 1 else family[0].label
        blocks += [Heading(f"{start}{beside}: {findings.primary}"), _comparison(findings, family)]
    if blocks and any(len(group.models) > 1 for group in findings.groups):
        blocks.append(Text((f"Over training seeds. {SPREAD}",), "quiet"))
    return blocks


def means_of_detectors(findings: Findings) -> list:
    """Mean FPR95 and AUROC of every detector on every model, the best first."""
    rows = []
    for role in findings.roles:
        rows.append(Row(f"{ROLE_TITLES[role]}, mean", kind="heading"))
        names = findings.ranked(findings.groups[-1], role)
        columns = [
            with_best(
                [findings.number(group, name, "role", role, column.key) for name in names], column
            )
            for column in (FPR95, AUROC) for group in findings.groups
        ]
        cells = zip(*columns, strict=True)
        rows += [Row(name, tuple(line)) for name, line in zip(names, cells, strict=True)]
    labels = [group.label for group in findings.groups]
    return [
        Heading("Detectors"),
        Table("Detector", tuple(labels * 2), tuple(rows),
              tuple((column.heading, len(labels)) for column in (FPR95, AUROC)),
              findings.convention),
    ]


def _decision(findings: Findings) -> list:
    first, *rest = decision(findings)
    return [
        Text((first,), "finding"),
        *(Text((line,), "quiet") for line in rest if line),
        *(Text((line,)) for line in comparison_sentences(findings) if len(findings.groups) > 1),
    ]


def _examples(kinds: list[dict]) -> list:
    blocks = [
        block
        for kind in kinds
        if kind["images"]
        for block in (Heading(kind["title"], 3), Images(tuple(map(_image, kind["images"]))))
    ]
    return [Heading("Example images"), *blocks] if blocks else []


def _image(entry: dict) -> Image:
    label = "" if entry["label"] is None else f", {entry['label']}"
    description = f"{entry['title']} image {entry['row']}{label}, score {entry['score']:.4g}"
    return Image(entry["png"], f"{entry['title']}{label}", description)


def _comparison(findings: Findings, family: list[Group]) -> Table:
    rows = []
    for role in findings.roles:
        sets = findings.of_role(role)
        rows.append(Row(ROLE_TITLES[role], kind="heading"))
        rows += [
            Row(entry["title"], _cells(findings, family, "set", entry["name"]),
                noted=bool(entry.get("note")))
            for entry in sets
        ]
        title = f"Mean of {count_of_sets(len(sets), role)}"
        rows.append(Row(title, _cells(findings, family, "role", role), "mean"))
    accuracies = {model["key"]: model["accuracy"] for model in findings.models}
    found = [spread([accuracies[key] for key in group.models]) for group in family]
    empty = (Cell(""),) * (len(family) * (len(findings.columns) - 1))
    rows.append(Row("Accuracy", (*with_best(found, AUROC), *empty)))
    labels = tuple(group.title for group in family)
    groups = tuple((column.heading, len(family)) for column in findings.columns)
    return Table(
        "OOD set", labels * len(findings.columns), tuple(rows), groups, findings.convention
    )


def _cells(findings: Findings, family: list[Group], of: str, name: str) -> tuple[Cell, ...]:
    return tuple(
        cell
        for column in findings.columns
        for cell in with_best(
            [findings.number(group, findings.primary, of, name, column.key) for group in family],
            column,
        )
    )


def _notes(findings: Findings) -> list:
    items = tuple((f"{title}: {note}",) for title, note in findings.notes())
    return [Bullets(items)] if items else []


def _detectors(findings: Findings) -> list:
    """Every detector on every set: the table of the model to take, those of the others folded."""
    pair = best_pair(findings)
    if pair is None:
        return []
    first = pair[0]
    blocks = [
        Heading(f"All detectors on all sets: {first.title}"),
        Text(("FPR95 by set, percent, sorted by the mean; the best of each column in bold.",),
             "quiet"),
        detectors_by_sets(findings, first),
        *(Details(f"All detectors on all sets: {group.title}",
                  (detectors_by_sets(findings, group),))
          for group in findings.groups if group is not first),
    ]
    chosen = tuple((line,) for line in choices(findings))
    return [*blocks, *([Details("Chosen parameters", (Bullets(chosen),))] if chosen else [])]


def detectors_by_sets(findings: Findings, group: Group) -> Table:
    """Rows: detectors, sorted; columns: means over each role, then the FPR95 on every set."""
    names = findings.ranked(group, findings.roles[0])
    wanted = [
        ("role", role, column, role)
        for role in findings.roles for column in (FPR95, AUROC)
    ]
    wanted += [
        ("set", entry["name"], FPR95, entry["title"])
        for role in findings.roles for entry in findings.of_role(role)
    ]
    columns = [
        with_best([findings.number(group, name, of, key, column.key) for name in names], column)
        for of, key, column, _ in wanted
    ]
    rows = tuple(
        Row(name, cells) for name, cells in zip(names, zip(*columns, strict=True), strict=True)
    )
    titles = [f"{title} {column.heading}" if of == "role" else title
              for of, _, column, title in wanted]
    means, sets = 2 * len(findings.roles), len(findings.sets)
    groups = (("Means", means), (f"{FPR95.heading} by set", sets))
    return Table("Detector", tuple(titles), rows, groups, findings.convention)


def _figures(findings: Findings, scores: dict | None) -> list:
    """Curves and densities: of the detector to take, then of the primary one on every model."""
    if not findings.sets or scores is None:
        return []
    group, taken = best_pair(findings) or (None, findings.primary)
    drawn = _drawn(findings, scores, findings.primary, _panels(findings))
    if taken == findings.primary:
        return drawn
    where = f" on {group.title}" if len(findings.groups) > 1 else ""
    return [*_drawn(findings, scores, taken, [[group]], where), *drawn]


def _drawn(findings: Findings, scores: dict, detector: str, panels: list, where="") -> list:
    """ROC curves and score densities of a detector, a figure for each panel's groups."""
    roc = (
        "Share of ID images against share of OOD images that a threshold accepts; the further up "
        "and left the better. The dot is FPR95"
        + ("." if findings.positive == "in" else ", its distance from the top.")
    )
    densities = "The less the two overlap the better. Every curve is scaled to its own peak."
    if any(len(group.models) > 1 for groups in panels for group in groups):
        roc += (
            " Curves are means over training seeds, the band is from the lowest to the highest."
        )
        densities += " Of several training seeds the first is shown."
    kinds = (("ROC curves", roc, roc_figure), ("Score densities", densities, density_figure))
    return [
        block
        for title, text, draw in kinds
        for block in (
            Heading(f"{title}: {detector}{where}"),
            Text((text,), "quiet"),
            *(Figure(f"{draw.__name__}-{detector}-{number}", f"{title} of {detector} by OOD set",
                     lambda draw=draw, groups=groups: draw(findings, scores, groups, detector))
              for number, groups in enumerate(panels, 1)),
        )
    ]


def _panels(findings: Findings) -> list[list[Group]]:
    """Families, large ones in parts that each begin with the base."""
    parts = []
    for first, *others in findings.families:
        starts = range(0, max(len(others), 1), _COLUMNS - 1)
        parts += [[first, *others[start : start + _COLUMNS - 1]] for start in starts]
    return parts


def _runs(findings: Findings) -> list:
    """Models, with every single run where the tables above are over seeds."""
    role = next(iter(findings.roles), None)
    rows = []
    for model in findings.models:
        mean = findings.mean(model["key"], findings.primary, role) if role else None
        fpr95 = percent(mean["fpr95"] if mean else None)
        cells = (Cell(f"{percent(model['accuracy'])} %"), Cell(fpr95), Cell(model["description"]))
        rows.append(Row(model["label"], cells))
    titles = ("Accuracy", f"{FPR95.heading} {findings.primary}, mean of {role or 'no'} sets",
              "Description")
    table = Table("Model", titles, tuple(rows), convention=findings.convention, words=(2,))
    return [Heading("Models"), table]
