"""Checks that the share of traffic that is flagged still agrees with the calibration.

The images need no labels. Calibration sample and traffic both count as random: when they come from
one distribution, the number of accepted images lies between two beta-binomial ones, whatever the
scores are.
"""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from kerasood.errors import InvalidInputError, check_share
from kerasood.thresholds.per_class import PerClassThreshold, checked_predictions
from kerasood.thresholds.threshold import Threshold

# Alternatives of `drift_evidence`: the odds of being flagged multiplied by these.
FACTORS = (1.25, 1.5, 2.0, 4.0, 8.0, 16.0)


@dataclasses.dataclass(frozen=True)
class DriftReport:
    """Finding of a drift check.

    Args:
        num_images: number of images checked.
        num_flagged: how many of them were flagged as OOD.
        expected: fewest and most flagged images that pass.
        p_value: probability, without drift, of a count at least this unusual; two-sided.
        significance: probability of a false alarm, at most.
        by_class: {class: DriftReport} of thresholds per class, each at its share of the
            significance; empty otherwise.
        num_unchecked: images of classes without a threshold of their own, which may be all.
    """

    num_images: int
    num_flagged: int
    expected: tuple[int, int]
    p_value: float
    significance: float
    by_class: dict[int, "DriftReport"] = dataclasses.field(default_factory=dict)
    num_unchecked: int = 0

    @property
    def drifted(self) -> bool:
        """The verdict: whether calibration and chance fail to explain the count."""
        return self.p_value <= self.significance

    @property
    def explanation(self) -> str:
        """The verdict and its reason in one sentence."""
        if not self.num_images:
            return (
                f"Nothing to check: none of {self.num_unchecked} images is of a class with a "
                "threshold of its own."
            )
        verdict = "Drift" if self.drifted else "No drift shown"
        test = f"p = {self.p_value:.2g}, significance {self.significance:.2g}"
        if not self.by_class:
            return f"{verdict}: {self._counts} ({test})."
        unusual, report = min(self.by_class.items(), key=lambda item: item[1].p_value)
        text = (
            f"{verdict}: of {len(self.by_class)} predicted classes the most unusual is {unusual}, "
            f"{report._counts} ({test} for all classes together)"
        )
        if self.num_unchecked:
            text += f"; {self.num_unchecked} images of other classes are not checked"
        return f"{text}."

    @property
    def _counts(self):
        low, high = self.expected
        return f"{self.num_flagged} of {self.num_images} images flagged, {low} to {high} expected"


def drift_check(
    threshold: Threshold | PerClassThreshold,
    scores_or_flags: ArrayLike,
    predicted: ArrayLike | None = None,
    significance: float = 0.05,
) -> DriftReport:
    """Test whether traffic is flagged more or less often than ID images should be.

    The test is exact in the sense that without drift the probability of an alarm, over calibration
    sample and traffic, is at most `significance`, for any distribution of scores. It is a test of
    one batch; for repeated ones see `spent_significance` and `drift_evidence`.

    Args:
        threshold: as calibrated.
        scores_or_flags: (N,) floating scores, or the served `is_ood` (N,) bool.
        predicted: (N,) int, the predicted classes, for a PerClassThreshold. Each class is tested,
            together at `significance` (Bonferroni); a change in how often each class is predicted
            is no drift to this test.
        significance: probability of a false alarm, in (0, 1).

    Returns:
        A `DriftReport`.

    Raises:
        ValueError: neither scores nor flags, or none; classes missing or out of range.
    """
    check_share(significance=significance)
    flags = _flags(threshold, scores_or_flags, predicted)
    if isinstance(threshold, Threshold):
        return _check(threshold, flags, significance, 1)
    predicted = checked_predictions(predicted, flags.size, len(threshold.per_class))
    own = [i for i in np.unique(predicted).tolist() if threshold.per_class[i] is not None]
    if not own:
        return DriftReport(0, 0, (0, 0), 1.0, float(significance), num_unchecked=flags.size)
    by_class = {
        i: _check(threshold.per_class[i], flags[predicted == i], significance, len(own))
        for i in own
    }
    reports = by_class.values()
    num_images = sum(report.num_images for report in reports)
    return DriftReport(
        num_images=num_images,
        num_flagged=sum(report.num_flagged for report in reports),
        expected=tuple(map(sum, zip(*(report.expected for report in reports), strict=True))),
        p_value=min(1.0, len(own) * min(report.p_value for report in reports)),
        significance=float(significance),
        by_class=by_class,
        num_unchecked=flags.size - num_images,
    )


def drift_evidence(threshold: Threshold, num_flagged: int, num_images: int) -> float:
    """Evidence that more is flagged than should be, which may be looked at after every image.

    A test martingale: the likelihood of the flags so far under more frequent flagging, divided by
    that without drift. Without drift it ever reaches 1 / significance with a probability of at most
    `significance`, however often one looks. All images since the start must be counted: a drift
    after a long quiet stretch shows late.

    Args:
        threshold: Threshold.
        num_flagged: images flagged since the start.
        num_images: images since the start.

    Returns:
        A number >= 0; 1 before the first image.

    Raises:
        ValueError: counts that cannot be.

    Reference:
        Ville, "Etude critique de la notion de collectif", 1939; Ramdas et al., "Game-theoretic
        statistics and safe anytime-valid inference", 2023.
    """
    if not 0 <= num_flagged <= num_images:
        raise InvalidInputError(
            f"Expected 0 <= num_flagged <= num_images. Received: {num_flagged=}, {num_images=}"
        )
    from scipy.special import betaln

    accepted = threshold.required_rank
    flagged = threshold.num_images + 1 - accepted

    def logarithm(pseudo_flagged):
        now = betaln(pseudo_flagged + num_flagged, accepted + num_images - num_flagged)
        return now - betaln(pseudo_flagged, accepted)

    ratios = [logarithm(factor * flagged) - logarithm(flagged) for factor in FACTORS]
    with np.errstate(over="ignore"):
        return float(np.mean(np.exp(ratios)))


def spent_significance(significance: float, window: int) -> float:
    """Significance to check the window of that number at, so that all windows together keep theirs.

    significance / (window * (window + 1)) adds up to `significance` over windows without end; the
    union bound needs nothing else, although all windows share one calibration sample.

    Args:
        significance: probability that there is ever a false alarm, in (0, 1).
        window: 1, 2, 3...

    Raises:
        ValueError: `significance` outside (0, 1), `window` below 1.
    """
    check_share(significance=significance)
    if window < 1:
        raise InvalidInputError(f"Windows count from 1. Received: window={window}")
    return significance / (window * (window + 1))


def _flags(threshold, scores_or_flags, predicted):
    values = np.asarray(scores_or_flags)
    if values.dtype.kind not in "bf" or values.ndim != 1 or not values.size:
        raise InvalidInputError(
            "Expected floating scores or flags of dtype bool, one per image. "
            f"Received: shape={values.shape}, dtype={values.dtype}"
        )
    return values if values.dtype.kind == "b" else ~threshold.accepts(values, predicted)


def _check(threshold, flags, significance, num_tests):
    num_images, num_flagged = flags.size, int(flags.sum())
    p_values = _p_values(threshold, num_images)
    significance = significance / num_tests
    passing = np.flatnonzero(p_values > significance)
    return DriftReport(
        num_images=num_images,
        num_flagged=num_flagged,
        expected=(int(passing[0]), int(passing[-1])),
        p_value=float(p_values[num_flagged]),
        significance=significance,
    )


def _p_values(threshold, num_images):
    """Two-sided p-values of 0..m flagged images, (m + 1,): twice the smaller tail.

    Each tail takes the beta-binomial distribution that bounds it, so ties and the place of the
    threshold between two scores make the test more careful, never less. Both distributions are
    hypergeometric ones in the order of all scores together, as in Fisher's exact test.
    """
    fewest, most = threshold.accepted_masses(num_images)
    many_flagged = np.cumsum(fewest)[::-1]
    few_flagged = np.cumsum(most[::-1])
    return np.minimum(1.0, 2 * np.minimum(many_flagged, few_flagged))
