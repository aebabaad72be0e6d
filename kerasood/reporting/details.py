"""Details behind results: thresholds, chosen parameters, images, missing sets, the command."""

from kerasood.reporting.blocks import Bullets, Cell, Code, Details, Heading, Row, Span, Table, Text
from kerasood.reporting.decision import best_pair
from kerasood.reporting.findings import Findings, percent

_SHORT = {"temperature": "T"}


def thresholds(findings: Findings) -> list:
    """A sentence per model on the detectors that matter, and a table of them all behind a fold."""
    entries = findings.results["thresholds"]
    if not entries:
        return []
    pair = best_pair(findings)
    detectors = dict.fromkeys([findings.primary, *([pair[1]] if pair else [])])
    shown = [
        (model["label"], detector, findings.threshold(model["key"], detector))
        for model in findings.models for detector in detectors
    ]
    calibrated_on = "; ".join(dict.fromkeys(entry["calibrated_on"] for entry in entries))
    titles = ("Detector", "Threshold", "Target", "Promised", "Measured", "Inside?")
    titles += tuple(f"Flagged: {entry['title']}" for entry in findings.sets)
    rows = tuple(_threshold_row(findings, entry) for entry in entries)
    return [
        Heading("Calibrated thresholds"),
        *(Text(_threshold_sentence(*each)) for each in shown if each[2]),
        Details("Every threshold, and the share of each set above it", (
            Text((f"Calibrated on {calibrated_on}. An image is flagged as OOD when its score is "
                  "above the threshold. Target: share of ID images to accept; promised: interval "
                  "for the share accepted of the fresh ID images on which it was then measured. "
                  "Percent.",)),
            Table("Model", titles, rows, words=(0,)),
        )),
    ]


def _threshold_sentence(label: str, detector: str, entry: dict) -> tuple:
    threshold, realised = entry["threshold"], entry["realised"]
    low, high = (f"{100 * bound:.1f}" for bound in realised["interval"])
    verdict = (Span("inside", "good"), f" the promised {low}–{high} %.")
    if not realised["inside"]:
        verdict = (
            Span("outside", "bad"),
            f" the promised {low}–{high} %: the fresh images differ from those it was calibrated "
            "on by more than chance explains.",
        )
    return (
        Span(label, "strong"),
        f" flags an image as OOD when its {detector} score is above ",
        Span(f"{threshold['value']:.6g}", "code"),
        f", calibrated on {entry['calibrated_on']}. At this threshold {100 * threshold['tpr']:g} % "
        f"of in-distribution images should be accepted: measured {100 * realised['rate']:.1f} % on "
        f"{realised['num_images']:,} fresh images, ",
        *verdict,
    )


def _threshold_row(findings: Findings, entry: dict) -> Row:
    threshold, realised = entry["threshold"], entry["realised"]
    low, high = realised["interval"]
    inside = Cell("yes") if realised["inside"] else Cell("no", style="bad")
    flagged = [entry["flagged"].get(of_set["name"]) for of_set in findings.sets]
    return Row(
        findings.labels[entry["model"]],
        (
            Cell(entry["detector"]),
            Cell(f"{threshold['value']:.6g}"),
            Cell(percent(threshold["tpr"])),
            Cell(f"{percent(low)} – {percent(high)}"),
            Cell(f"{percent(realised['rate'])} of {realised['num_images']:,}"),
            inside,
            *(Cell(percent(share), share=share) for share in flagged),
        ),
    )


def choices(findings: Findings) -> list[str]:
    """Parameters that detectors chose, and the images they chose on, one line each."""
    return [
        f"{model['label']}: {name}, {chosen_text(choice)}"
        for model in findings.models
        for name, choice in model.get("choices", {}).items()
        if choice["chosen"]
    ]


def chosen_text(choice: dict) -> str:
    """Choice of a detector, and from what: "T = 1000, magnitude = 0.0014, chosen on ..."."""
    default = choice.get("default")
    beside = ""
    if default:
        values = {"chosen": {key: default[key] for key in choice["chosen"]}}
        beside = f" (by default {values_text(values)})"
    return (
        f"{values_text(choice)}{beside}, chosen on {choice['images']} and generated outliers "
        f"({', '.join(choice['outliers'])}) by {choice['criterion']}"
    )


def values_text(choice: dict) -> str:
    """The chosen values alone: "T = 1000, magnitude = 0.0014"."""
    return ", ".join(
        f"{_SHORT.get(key, key)} = {value_text(value)}" for key, value in choice["chosen"].items()
    )


def value_text(value) -> str:
    """A parameter's value, a number or a word."""
    return value if isinstance(value, str) else f"{value:g}"


def images_used(findings: Findings) -> list[list[str]]:
    """Title, count and first digits of the SHA-256 of every set of images that was used.

    Where models used different images under one name, the title says which.
    """
    dataset = findings.results["dataset"]
    titles = {entry["name"]: entry["title"] for entry in findings.sets}
    titles["in"] = f"{dataset['title']}, {dataset['split']}"
    used: dict[tuple, list[str]] = {}
    for model, sets in findings.results.get("images", {}).items():
        for name, facts in sets.items():
            key = (name, facts["num_images"], facts["sha256"])
            used.setdefault(key, []).append(findings.labels[model])
    names = [name for name, _, _ in used]
    rows = []
    for (name, count, digest), models in used.items():
        title = titles.get(name, name)
        title += f" ({', '.join(models)})" if names.count(name) > 1 else ""
        rows.append([title, f"{count:,}", digest[:12]])
    return rows


def missing(entries: list[dict]) -> list:
    """Sets that were not at hand, with how to get each."""
    if not entries:
        return []
    items = tuple((Span(entry["title"], "strong"), ": ", entry["how_to_get"]) for entry in entries)
    return [Heading("Not evaluated: sets that were not at hand"), Bullets(items)]


def reproduction(results: dict) -> list:
    """The command, and what it ran with."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return [
        Heading("How to reproduce"),
        Code(results["command"]),
        Text((f"Commit {results['commit'] or 'unknown'}; seed {results['seed']}; "
              f"{results['date']}; {versions}. Runs of one recipe with other seeds can differ by "
              "several points.",), "quiet"),
    ]


def images_table(findings: Findings) -> list:
    """The images that results were computed from, behind a fold; empty when it is not known."""
    rows = tuple(
        Row(title, (Cell(count), Cell(digest, style="code")))
        for title, count, digest in images_used(findings)
    )
    table = Table("Images", ("Number", "SHA-256 of the pixels"), rows, words=(1,))
    return [Details("Images used", (table,))] if rows else []
