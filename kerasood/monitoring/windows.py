"""Drift of answers: window by window, and by the evidence of all of them together."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.export.metadata import read_calibration, read_metadata
from kerasood.monitoring.answers import read_answers
from kerasood.thresholds import (
    DriftReport,
    PerClassThreshold,
    Threshold,
    drift_check,
    drift_evidence,
    spent_significance,
)

SMALLEST_WINDOW = 20


@dataclasses.dataclass(frozen=True)
class Window:
    """Answers that were checked together.

    Args:
        number: int, counted from 1.
        started, ended: float, seconds since 1970 of its first and last answer, or None.
        report: DriftReport.
    """

    number: int
    started: float | None
    ended: float | None
    report: DriftReport

    @property
    def flagged_share(self) -> float:
        return self.report.num_flagged / max(self.report.num_images, 1)


@dataclasses.dataclass(frozen=True)
class Monitoring:
    """Findings of `monitor`.

    Args:
        name: str, what is watched.
        windows: tuple of Window, in the order of time.
        waiting: int, answers after the last whole window.
        significance: float, probability that there is ever a false alarm, at most.
        evidence: float, of all answers together that more is flagged than should be; None for
            thresholds per class.
        promised: float, share of in-distribution images that the threshold flags on average.
    """

    name: str
    windows: tuple[Window, ...]
    waiting: int
    significance: float
    evidence: float | None
    promised: float

    @property
    def drifted_windows(self) -> tuple[Window, ...]:
        return tuple(window for window in self.windows if window.report.drifted)

    @property
    def enough_evidence(self) -> bool:
        """True where all answers together show drift, whichever window they fell into."""
        return self.evidence is not None and self.evidence >= 2 / self.significance

    @property
    def drifted(self) -> bool:
        return bool(self.drifted_windows) or self.enough_evidence

    def __str__(self):
        if not self.windows:
            return f"{self.name}: no whole window yet, {self.waiting:,} answers wait for one."
        if not self.drifted:
            return f"{self.name}: no drift shown in {len(self.windows):,} windows."
        reasons = [
            f"window {window.number}: {window.report.explanation}"
            for window in self.drifted_windows[-3:]
        ]
        if self.enough_evidence:
            reasons.append(f"all answers together: evidence {self.evidence:.3g} for more flags")
        return f"{self.name}: DRIFT. " + " ".join(reasons)


def monitor(
    logs: Sequence[str | os.PathLike], model: str | os.PathLike, window: int = 1000,
    significance: float = 0.05,
) -> Monitoring:
    """Checks logged answers against the promise of the model's threshold.

    Windows share half of the significance (`spent_significance`), the evidence of all answers has
    the other half: however long one watches, the probability that there is ever a false alarm is
    at most `significance`. The same logs, grown, give the same windows again.

    Args:
        logs: see `read_answers`.
        model: str or Path of the exported model that answered: its SavedModel folder or file; or a
            Threshold or PerClassThreshold, of a model without class names.
        window: int, answers of a window, at least 20.
        significance: float in (0, 1).

    Returns:
        Monitoring.

    Raises:
        MissingDataError, InvalidInputError: a log, the model's metadata or a setting is not what it
            must be.
    """
    if not isinstance(window, int) or isinstance(window, bool) or window < SMALLEST_WINDOW:
        raise InvalidInputError(f"Expected window >= {SMALLEST_WINDOW}. Received: {window!r}")
    name, threshold, classes = _promise(model)
    answers = read_answers(logs)
    whole = len(answers) // window
    windows = tuple(
        _window(number, answers[(number - 1) * window : number * window], threshold, classes,
                spent_significance(significance / 2, number))
        for number in range(1, whole + 1)
    )
    evidence = None
    if not isinstance(threshold, PerClassThreshold):
        flagged = sum(answer["is_ood"] for answer in answers)
        evidence = drift_evidence(threshold, flagged, len(answers))
    promised = 1 - getattr(threshold, "pooled", threshold).tpr
    waiting = len(answers) - whole * window
    return Monitoring(name, windows, waiting, significance, evidence, promised)


def _promise(model):
    """(name, threshold, class names or None) of an exported model or of a threshold."""
    if isinstance(model, Threshold | PerClassThreshold):
        return "threshold", model, None
    metadata = read_metadata(model)
    return str(model), read_calibration(model), metadata.get("class_names")


def _window(number, answers, threshold, classes, significance):
    flags = np.array([answer["is_ood"] for answer in answers])
    predicted = None
    if isinstance(threshold, PerClassThreshold):
        classes = classes or [str(number) for number in range(len(threshold.per_class))]
        predicted = np.array([_class_of(answer["label"], classes) for answer in answers])
    report = drift_check(threshold, flags, predicted, significance)
    return Window(number, answers[0]["time"], answers[-1]["time"], report)


def _class_of(label, classes):
    if label not in classes:
        raise InvalidInputError(
            "Expected labels that are class names of the model, or numbers where it has none, for "
            f"its threshold is one per class. Received: {label!r}"
        )
    return classes.index(label)
