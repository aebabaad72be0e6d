"""Exact detection metrics of two arrays of scores, in NumPy float64.

Everywhere: a higher score means more OOD, an image is accepted as in-distribution (ID) when its
score is at most the threshold, and ID is the positive class. Other libraries do the opposite.
"""

from typing import NamedTuple

import numpy as np


class AcceptanceCounts(NamedTuple):
    """How many images of either kind each distinct threshold accepts, thresholds ascending."""

    thresholds: np.ndarray
    accepted_in: np.ndarray
    accepted_out: np.ndarray


def auroc(scores_in, scores_out) -> float:
    """Probability that a random OOD image scores higher than a random ID image, ties half-counted.

    Args:
        scores_in: (N,) finite scores of ID images.
        scores_out: (M,) finite scores of OOD images.

    Returns:
        A fraction in [0, 1]; it is the same whichever class is called positive.

    Raises:
        ValueError: scores that are empty, not 1-D, NaN or infinite.
    """
    return _auroc(_acceptance_counts(scores_in, scores_out))


def aupr_in(scores_in, scores_out) -> float:
    """Average precision with ID as the positive class; chance is N / (N + M)."""
    return _aupr_in(_acceptance_counts(scores_in, scores_out))


def aupr_out(scores_in, scores_out) -> float:
    """Average precision with OOD as the positive class; chance is M / (N + M)."""
    return _aupr_out(_acceptance_counts(scores_in, scores_out))


def fpr_at_tpr(scores_in, scores_out, tpr: float = 0.95) -> float:
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
    return _fpr_at_tpr(_acceptance_counts(scores_in, scores_out), tpr)


def all_metrics(scores_in, scores_out) -> dict[str, float]:
    """FPR95, AUROC and both AUPRs from one sort of the scores; see the single functions."""
    counts = _acceptance_counts(scores_in, scores_out)
    return {
        "fpr95": _fpr_at_tpr(counts, 0.95),
        "auroc": _auroc(counts),
        "aupr_in": _aupr_in(counts),
        "aupr_out": _aupr_out(counts),
    }


def roc_curve(scores_in, scores_out) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    counts = _acceptance_counts(scores_in, scores_out)
    return (
        np.r_[0, counts.accepted_out] / counts.accepted_out[-1],
        np.r_[0, counts.accepted_in] / counts.accepted_in[-1],
        np.r_[-np.inf, counts.thresholds],
    )


def as_scores(name: str, scores) -> np.ndarray:
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
        raise ValueError(
            f"`{name}` must be one-dimensional with at least one score. "
            f"Received: {name} with shape={scores.shape}"
        )
    not_finite = np.flatnonzero(~np.isfinite(scores))
    if not_finite.size:
        raise ValueError(
            f"`{name}` must be finite: NaN has no rank, and infinities tie. Received: "
            f"{not_finite.size} of {scores.size} scores NaN or infinite, "
            f"the first {name}[{not_finite[0]}]={scores[not_finite[0]]}"
        )
    return scores


def _acceptance_counts(scores_in, scores_out) -> AcceptanceCounts:
    scores_in = as_scores("scores_in", scores_in)
    scores_out = as_scores("scores_out", scores_out)
    scores = np.concatenate([scores_in, scores_out])
    order = np.argsort(scores)
    scores = scores[order]
    last_of_ties = np.append(np.flatnonzero(scores[1:] != scores[:-1]), scores.size - 1)
    accepted_in = np.cumsum(order < scores_in.size)[last_of_ties]
    return AcceptanceCounts(scores[last_of_ties], accepted_in, last_of_ties + 1 - accepted_in)


def _auroc(counts: AcceptanceCounts) -> float:
    num_in, num_out = int(counts.accepted_in[-1]), int(counts.accepted_out[-1])
    higher_plus_tied = 2 * num_out - counts.accepted_out - _previous(counts.accepted_out)
    twice_wins = int(np.dot(np.diff(counts.accepted_in, prepend=0), higher_plus_tied))
    return twice_wins / (2 * num_in * num_out)


def _aupr_in(counts: AcceptanceCounts) -> float:
    precision = counts.accepted_in / (counts.accepted_in + counts.accepted_out)
    gained = np.diff(counts.accepted_in, prepend=0)
    return float(np.dot(gained, precision) / counts.accepted_in[-1])


def _aupr_out(counts: AcceptanceCounts) -> float:
    rejected_in = counts.accepted_in[-1] - _previous(counts.accepted_in)
    rejected_out = counts.accepted_out[-1] - _previous(counts.accepted_out)
    precision = rejected_out / (rejected_in + rejected_out)
    gained = np.diff(counts.accepted_out, prepend=0)
    return float(np.dot(gained, precision) / counts.accepted_out[-1])


def _fpr_at_tpr(counts: AcceptanceCounts, tpr: float) -> float:
    if not 0 < tpr <= 1:
        raise ValueError(f"`tpr` must be in (0, 1]. Received: tpr={tpr}")
    num_in, num_out = counts.accepted_in[-1], counts.accepted_out[-1]
    full_recall = np.searchsorted(counts.accepted_in, num_in)
    recall_descending = counts.accepted_in[full_recall::-1] / num_in
    nearest = full_recall - np.argmin(np.abs(recall_descending - tpr))
    return float(counts.accepted_out[nearest] / num_out)


def _previous(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], counts[:-1]])
