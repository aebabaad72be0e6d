"""The sentence at the end of a job: how many were flagged, and whether that is drift."""

import dataclasses
import typing

import scipy.stats

from kerasood.scoring.tables import read_columns
from kerasood.thresholds import PerClassThreshold, drift_check

# A difference this unlikely without a change is called one.
SIGNIFICANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Summary:
    """Counts of a scored set of images.

    Args:
        num_images: int, rows in all.
        num_valid: int, images that could be read.
        num_flagged: int, how many of these are OOD by the model's threshold.
        drift: DriftReport against the threshold's promise, or None where it promises nothing, or
            promises it per predicted class.
        against: dict with the earlier output's "path", "num_valid", "num_flagged", "flagged_p"
            (Fisher's exact test of the two shares) and "scores_p" (Kolmogorov-Smirnov test of the
            scores), or None.
    """

    num_images: int
    num_valid: int
    num_flagged: int
    drift: object = None
    against: dict | None = None

    @staticmethod
    def of(rows: typing.Any, threshold: typing.Any = None, against: typing.Any = None) -> "Summary":
        """Counts rows, as dicts with "valid", "is_ood" and "score"."""
        total, flags, scores = 0, [], []
        for row in rows:
            total += 1
            if row["valid"]:
                flags.append(row["is_ood"])
                scores.append(row["score"])
        drift = None
        if flags and threshold is not None and not isinstance(threshold, PerClassThreshold):
            drift = drift_check(threshold, flags)
        compared = _compared(flags, scores, against) if against is not None and flags else None
        return Summary(total, len(flags), sum(flags), drift, compared)

    def __str__(self):
        lines = [f"{self.num_images:,} images, {self.num_images - self.num_valid:,} unreadable."]
        if self.num_valid:
            share = self.num_flagged / self.num_valid
            lines.append(f"{self.num_flagged:,} flagged as OOD ({share:.1%}).")
        if self.drift is not None:
            lines.append(self.drift.explanation)
        if self.against is not None:
            lines.append(_sentence(self.against, self.num_valid, self.num_flagged))
        return "\n".join(lines)


def _compared(flags, scores, path):
    valid, is_ood, earlier = read_columns(path, "valid", "is_ood", "score")
    earlier_flags = [flag for flag, good in zip(is_ood, valid, strict=True) if good]
    earlier_scores = [score for score, good in zip(earlier, valid, strict=True) if good]
    counts = [
        [sum(values), len(values) - sum(values)] for values in (flags, earlier_flags)
    ]
    return {
        "path": str(path),
        "num_valid": len(earlier_flags),
        "num_flagged": sum(earlier_flags),
        "flagged_p": float(scipy.stats.fisher_exact(counts).pvalue),
        "scores_p": float(scipy.stats.ks_2samp(scores, earlier_scores).pvalue),
    }


def _sentence(against, num_valid, num_flagged):
    before = against["num_flagged"] / max(against["num_valid"], 1)
    differs = min(against["flagged_p"], against["scores_p"]) < SIGNIFICANCE
    return (
        f"{'Changed' if differs else 'No change shown'} since {against['path']}: "
        f"{before:.1%} flagged there, {num_flagged / num_valid:.1%} here "
        f"(p = {against['flagged_p']:.2g}; of the scores p = {against['scores_p']:.2g})."
    )
