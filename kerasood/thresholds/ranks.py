"""Order statistics that keep a promise, and the distribution of counts above and below them.

The share of all ID images that score at most the k-th smallest of n calibration scores follows
Beta(k, n + 1 - k) where no scores tie, and is stochastically larger where they do.
"""

import bisect
import math
from fractions import Fraction

from scipy import stats

from kerasood.errors import InvalidInputError, check_share

GUARANTEES = ("average", "confidence")
# A probability that equals the confidence suffices; in floats it may come out a little less.
ROUNDING = 1e-12


def required_rank(num_images: int, tpr: float, confidence: float, guarantee: str) -> int:
    """The smallest rank k whose score, as a threshold, keeps the promise.

    Args:
        num_images: number n of calibration images.
        tpr: promised share of accepted ID images, in (0, 1).
        confidence: probability of the promise for `guarantee="confidence"`, in (0, 1).
        guarantee: "average": k / (n + 1) >= tpr, the mean of Beta(k, n + 1 - k); or "confidence":
            P(Beta(k, n + 1 - k) >= tpr) >= confidence, a one-sided tolerance limit.

    Returns:
        k; n + 1 when even the largest score does not keep it.

    Reference:
        Wilks, "Determination of sample sizes for setting tolerance limits", 1941; Vovk,
        "Conditional validity of inductive conformal predictors", 2012, proposition 2.
    """
    share = as_fraction(tpr)
    if guarantee == "average":
        return min(math.ceil((num_images + 1) * share), num_images + 1)
    ranks = range(1, num_images + 1)
    return 1 + bisect.bisect_left(
        ranks, True, key=lambda rank: _is_confident(rank, num_images, share, confidence)
    )


def needed_images(tpr: float = 0.95, confidence: float = 0.95, guarantee: str = "average") -> int:
    """The smallest number of calibration images that can keep the promise; see `calibrate`.

    Raises:
        ValueError: a share outside (0, 1), or an unknown guarantee.
    """
    check_promise(tpr, confidence, guarantee)
    share = as_fraction(tpr)
    if guarantee == "average":
        return math.ceil(share / (1 - share))
    needed = max(1, math.floor(math.log1p(-confidence) / math.log(tpr)) - 1)
    while not _is_confident(needed, needed, share, confidence):
        needed += 1
    return needed


def check_promise(tpr, confidence, guarantee):
    """Raises ValueError for a share outside (0, 1) or an unknown guarantee."""
    check_share(tpr=tpr, confidence=confidence)
    if guarantee not in GUARANTEES:
        raise InvalidInputError(
            f"`guarantee` must be one of {', '.join(GUARANTEES)}. Received: {guarantee=}"
        )


def as_fraction(share: float) -> Fraction:
    """The share as it is written.

    The float 0.95 is a little below 19 / 20, and 0.95 * 20 may round either way.
    """
    return Fraction(repr(float(share)))


def share_at(probability: float, rank: int, num_images: int) -> float:
    """Quantile of the share of all ID images up to the score of that rank; beyond the last, 1."""
    if rank > num_images:
        return 1.0
    return float(stats.beta.ppf(probability, rank, num_images + 1 - rank))


def _is_confident(rank, num_images, share, confidence):
    """True where P(Beta(rank, n + 1 - rank) >= share) = P(Binomial(n, share) < rank) suffices."""
    return bool(stats.binom.cdf(rank - 1, num_images, float(share)) >= confidence - ROUNDING)
