"""The section on calibrated thresholds: what each promised, and whether it holds."""

from kerasood.reporting.blocks import Cell, Details, Heading, Row, Span, Table, Text
from kerasood.reporting.decision import best_pair
from kerasood.reporting.findings import Findings, percent


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
        *(Text(_threshold_told(*each)) for each in shown if each[2]),
        Details("Every threshold, and the share of each set above it", (
            Text((f"Calibrated on {calibrated_on}. An image is flagged as OOD when its score is "
                  "above the threshold. Target: share of ID images to accept; promised: interval "
                  "for the share accepted of the fresh ID images on which it was then measured. "
                  "Percent.",)),
            Table("Model", titles, rows, words=(0,)),
        )),
    ]


def _threshold_told(label: str, detector: str, entry: dict) -> tuple:
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
