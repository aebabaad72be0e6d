"""Exact detection metrics of two arrays of scores, in NumPy float64.

Everywhere: a higher score means more OOD, and an image is accepted as in-distribution (ID) when its
score is at most the threshold. ID is the positive class unless a function's name or docstring says
otherwise; other libraries do the opposite.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kerasood.errors import InvalidInputError


class AcceptanceCounts(NamedTuple):
    """Numbers of images of either kind that each distinct threshold accepts, ascending."""

    thresholds: np.ndarray
    accepted_in: np.ndarray
    accepted_out: np.ndarray


class Ranking:
    """ID and OOD scores ranked once, to measure many selections of the OOD images.

    Args:
        scores_in: (N,) finite scores of ID images.
        scores_out: (M,) finite scores of OOD images.

    Raises:
        ValueError: scores that are empty, not 1-D, NaN or infinite.
    """

    def __init__(self, scores_in: ArrayLike, scores_out: ArrayLike):
        scores_in = as_scores("scores_in", scores_in)
        scores_out = as_scores("scores_out", scores_out)
        scores = np.concatenate([scores_in, scores_out])
        self._thresholds, ranks = np.unique(scores, return_inverse=True)
        self._ranks_out = ranks[scores_in.size :]
        equal_in = self._count(ranks[: scores_in.size])
        self._occurs_in = equal_in > 0
        self._accepted_in = np.cumsum(equal_in)

    def counts(self, chosen: ArrayLike | None = None) -> AcceptanceCounts:
        """Counts the images that every distinct threshold accepts.

        Args:
            chosen: indices of the OOD images that count, at least one; all by default.
        """
        ranks = self._ranks_out if chosen is None else self._ranks_out[chosen]
        equal_out = self._count(ranks)
        # Positions instead of the mask: several times faster to take by.
        occurring = np.flatnonzero(self._occurs_in | (equal_out > 0))
        return AcceptanceCounts(
            self._thresholds[occurring],
            self._accepted_in[occurring],
            np.cumsum(equal_out[occurring]),
        )

    def all_metrics(self, chosen: ArrayLike | None = None) -> dict[str, float]:
        """As the function `all_metrics`, of the chosen OOD images."""
        counts = self.counts(chosen)
        return {
            "fpr95": _fpr_at_tpr(counts, 0.95),
            "auroc": _auroc(counts),
            "aupr_in": _aupr_in(counts),
            "aupr_out": _aupr_out(counts),
        }

    def all_metrics_out(self, chosen: ArrayLike | None = None) -> dict[str, float]:
        """As the function `all_metrics_out`, of the chosen OOD images."""
        counts = self.counts(chosen)
        return {
            "fpr95": _fpr_at_first_tpr(counts, 0.95),
            "auroc": _auroc(counts),
            "aupr_in": _aupr_in_trapezoid(counts),
            "aupr_out": _aupr_out_trapezoid(counts),
        }

    def _count(self, ranks):
        return np.bincount(ranks, minlength=self._thresholds.size)


def auroc(scores_in: ArrayLike, scores_out: ArrayLike) -> float:
    """Probability that a random OOD image scores higher than a random ID image, ties half-counted.

    Args:
        scores_in: (N,) finite scores of ID images.
        scores_out: (M,) finite scores of OOD images.

    Returns:
        A fraction in [0, 1]; it is the same whichever class is called positive.

    Raises:
        ValueError: scores that are empty, not 1-D, NaN or infinite.
    """
    return _auroc(Ranking(scores_in, scores_out).counts())


def aupr_in(scores_in: ArrayLike, scores_out: ArrayLike) -> float:
    """Average precision with ID as the positive class; chance is N / (N + M)."""
    return _aupr_in(Ranking(scores_in, scores_out).counts())


def aupr_out(scores_in: ArrayLike, scores_out: ArrayLike) -> float:
    """Average precision with OOD as the positive class; chance is M / (N + M)."""
    return _aupr_out(Ranking(scores_in, scores_out).counts())


def fpr_at_tpr(scores_in: ArrayLike, scores_out: ArrayLike, tpr: float = 0.95) -> float:
    """Share of OOD images accepted at the threshold whose ID recall is nearest to `tpr`.

    Of two recalls equally near the larger counts, and of thresholds with equal recall the one that
    accepts more OOD images, but none beyond the first that accepts every ID image. "Nearest" is
    judged in float64, like the reference, so that equal scores give equal numbers.

    Args:
        scores_in: (N,) finite scores of ID images.
        scores_out: (M,) finite scores of OOD images.
        tpr: wanted share of accepted ID images, in (0, 1].

    Returns:
        A fraction in [0, 1].

    Raises:
        ValueError: scores that are empty, not 1-D, NaN or infinite; `tpr` outside (0, 1].

    Reference:
        Liu et al., "Energy-based Out-of-distribution Detection", 2020, released code,
        `fpr_and_fdr_at_recall`.
    """
    return _fpr_at_tpr(Ranking(scores_in, scores_out).counts(), tpr)


def fpr_at_first_tpr(scores_in: ArrayLike, scores_out: ArrayLike, tpr: float = 0.95) -> float:
    """Share of ID images flagged at the first threshold that flags at least `tpr` of the OOD ones.

    OOD is the positive class, and the threshold comes down from the highest score. Every distinct
    score is a threshold; scikit-learn's `roc_curve` leaves out points between others on a line,
    which moves the first one only where ID and OOD scores tie.

    Args:
        scores_in: (N,) finite scores of ID images.
        scores_out: (M,) finite scores of OOD images.
        tpr: wanted share of flagged OOD images, in (0, 1].

    Returns:
        A fraction in [0, 1].

    Raises:
        ValueError: scores that are empty, not 1-D, NaN or infinite; `tpr` outside (0, 1].

    Reference:
        Zhang et al., "OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection", 2023,
        released code, `auc_and_fpr_recall`.
    """
    return _fpr_at_first_tpr(Ranking(scores_in, scores_out).counts(), tpr)


def aupr_in_trapezoid(scores_in: ArrayLike, scores_out: ArrayLike) -> float:
    """Area under the precision-recall curve with ID positive, its points joined by straight lines.

    The curve starts at recall 0 with precision 1. It lies above the average precision, most where
    few images are positive.
    """
    return _aupr_in_trapezoid(Ranking(scores_in, scores_out).counts())


def aupr_out_trapezoid(scores_in: ArrayLike, scores_out: ArrayLike) -> float:
    """The same with OOD as the positive class."""
    return _aupr_out_trapezoid(Ranking(scores_in, scores_out).counts())


def all_metrics(scores_in: ArrayLike, scores_out: ArrayLike) -> dict[str, float]:
    """FPR95, AUROC and both AUPRs from one sort of the scores; see the single functions."""
    return Ranking(scores_in, scores_out).all_metrics()


def all_metrics_out(scores_in: ArrayLike, scores_out: ArrayLike) -> dict[str, float]:
    """The same as OpenOOD has them: `fpr_at_first_tpr`, `auroc` and the two trapezoids."""
    return Ranking(scores_in, scores_out).all_metrics_out()


def roc_curve(
    scores_in: ArrayLike, scores_out: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every point of the ROC curve, from nothing accepted to everything accepted.

    Args:
        scores_in: (N,) finite scores of ID images.
        scores_out: (M,) finite scores of OOD images.

    Returns:
        Shares of accepted OOD images, shares of accepted ID images, and the thresholds, three
        float64 arrays of one length; the first threshold is -inf and accepts nothing.

    Raises:
        ValueError: scores that are empty, not 1-D, NaN or infinite.
    """
    counts = Ranking(scores_in, scores_out).counts()
    return (
        np.r_[0, counts.accepted_out] / counts.accepted_out[-1],
        np.r_[0, counts.accepted_in] / counts.accepted_in[-1],
        np.r_[-np.inf, counts.thresholds],
    )


def as_scores(name: str, scores: ArrayLike) -> np.ndarray:
    """`scores` as a float64 array, or an error that says what is wrong with them.

    Args:
        name: what the caller calls them, for the error.
        scores: anything that NumPy turns into an array.

    Returns:
        A non-empty (N,) float64 array of finite numbers.

    Raises:
        ValueError: otherwise.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise InvalidInputError(
            f"`{name}` must be one-dimensional with at least one score. "
            f"Received: {name} with shape={scores.shape}"
        )
    not_finite = np.flatnonzero(~np.isfinite(scores))
    if not_finite.size:
        raise InvalidInputError(
            f"`{name}` must be finite: NaN has no rank, and infinities tie. Received: "
            f"{not_finite.size} of {scores.size} scores NaN or infinite, "
            f"the first {name}[{not_finite[0]}]={scores[not_finite[0]]}"
        )
    return scores


def _auroc(counts: AcceptanceCounts) -> float:
    num_in, num_out = int(counts.accepted_in[-1]), int(counts.accepted_out[-1])
    higher_plus_tied = 2 * num_out - counts.accepted_out - _previous(counts.accepted_out)
    twice_wins = int(np.sum(np.diff(counts.accepted_in, prepend=0) * higher_plus_tied))
    return twice_wins / (2 * num_in * num_out)


def _aupr_in(counts: AcceptanceCounts) -> float:
    precision = counts.accepted_in / (counts.accepted_in + counts.accepted_out)
    gained = np.diff(counts.accepted_in, prepend=0)
    return float(np.sum(gained * precision) / counts.accepted_in[-1])


def _aupr_out(counts: AcceptanceCounts) -> float:
    rejected_in, rejected_out = _rejected(counts.accepted_in), _rejected(counts.accepted_out)
    precision = rejected_out / (rejected_in + rejected_out)
    gained = np.diff(counts.accepted_out, prepend=0)
    return float(np.sum(gained * precision) / counts.accepted_out[-1])


def _aupr_in_trapezoid(counts: AcceptanceCounts) -> float:
    return _trapezoid(counts.accepted_in, counts.accepted_out)


def _aupr_out_trapezoid(counts: AcceptanceCounts) -> float:
    return _trapezoid(_rejected(counts.accepted_out)[::-1], _rejected(counts.accepted_in)[::-1])


def _trapezoid(true_positives: np.ndarray, false_positives: np.ndarray) -> float:
    """Area under the precision-recall curve of counts that ascend from the strictest threshold."""
    precision = np.concatenate([[1.0], true_positives / (true_positives + false_positives)])
    gained = np.diff(true_positives, prepend=0)
    return float(np.sum(gained * (precision[1:] + precision[:-1])) / (2 * true_positives[-1]))


def _fpr_at_first_tpr(counts: AcceptanceCounts, tpr: float) -> float:
    _check_tpr(tpr)
    flagged_in, flagged_out = _rejected(counts.accepted_in), _rejected(counts.accepted_out)
    first = np.flatnonzero(flagged_out / flagged_out[0] >= tpr)[-1]
    return float(flagged_in[first] / flagged_in[0])


def _fpr_at_tpr(counts: AcceptanceCounts, tpr: float) -> float:
    _check_tpr(tpr)
    num_in, num_out = counts.accepted_in[-1], counts.accepted_out[-1]
    full_recall = np.searchsorted(counts.accepted_in, num_in)
    recall_descending = counts.accepted_in[full_recall::-1] / num_in
    nearest = full_recall - np.argmin(np.abs(recall_descending - tpr))
    return float(counts.accepted_out[nearest] / num_out)


def _check_tpr(tpr: float) -> None:
    if isinstance(tpr, str) or not 0 < tpr <= 1:
        raise InvalidInputError(f"`tpr` must be in (0, 1]. Received: tpr={tpr!r}")


def _rejected(accepted: np.ndarray) -> np.ndarray:
    """Numbers that score at least each threshold, from the numbers that score at most it."""
    return accepted[-1] - _previous(accepted)


def _previous(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], counts[:-1]])
