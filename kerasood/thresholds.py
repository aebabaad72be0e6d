"""The threshold of a detector: calibrated on held-out ID images, with what it promises.

With n calibration scores, the share of all ID images that score at most the k-th smallest follows
Beta(k, n + 1 - k) whatever the scores' distribution. So the threshold comes with an interval
that the accepted share of fresh images can be checked against.
"""

import dataclasses
import math
from fractions import Fraction

import numpy as np

from kerasood.metrics import as_scores


@dataclasses.dataclass(frozen=True)
class Threshold:
    """An image is in-distribution when its float32 score is at most `value`.

    Args:
        value: the threshold, exactly representable in float32.
        tpr: least share of ID images it accepts on average over calibrations, in (0, 1).
        interval: lowest and highest share of all ID images that it may accept.
        confidence: of the interval, two-sided, in (0, 1).
        num_images: number of calibration images n.
        rank: number k of calibration images that it accepts.
    """

    value: float
    tpr: float
    interval: tuple[float, float]
    confidence: float
    num_images: int
    rank: int

    def interval_for(self, num_images: int) -> tuple[float, float]:
        """Lowest and highest share to expect among that many fresh ID images (beta-binomial).

        Wider than `interval`, since the fresh images are a sample too.

        Args:
            num_images: number of fresh images, at least 1.

        Returns:
            Two shares in [0, 1].

        Raises:
            ValueError: `num_images` below 1.
        """
        if num_images < 1:
            raise ValueError(f"`num_images` must be at least 1. Received: num_images={num_images}")
        tail = (1 - self.confidence) / 2
        rest = self.num_images - self.rank
        low = _beta_binomial_quantile(tail, num_images, self.rank, rest + 1)
        high = num_images
        if rest:
            high = _beta_binomial_quantile(1 - tail, num_images, self.rank + 1, rest)
        return low / num_images, high / num_images

    def to_json(self) -> dict:
        """A dictionary for `json.dump`; `from_json` reads it."""
        return {**dataclasses.asdict(self), "interval": list(self.interval)}

    @classmethod
    def from_json(cls, content: dict) -> "Threshold":
        """The threshold that `to_json` described.

        Raises:
            ValueError: keys missing or unknown, or a value that is no float32 number.
        """
        expected = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(content, dict) or set(content) != expected:
            raise ValueError(
                f"A threshold has exactly the keys {sorted(expected)}. Received: {content!r}"
            )
        threshold = cls(**{**content, "interval": tuple(content["interval"])})
        as_float32 = float(np.float32(threshold.value))
        if not math.isfinite(as_float32) or as_float32 != threshold.value:
            raise ValueError(
                f"A threshold's value must be a finite float32 number. "
                f"Received: value={threshold.value!r}"
            )
        return threshold


def calibrate(scores_in, tpr: float = 0.95, confidence: float = 0.95) -> Threshold:
    """Choose the threshold from scores of ID images that the model was never trained on.

    It lies halfway between the k-th and the next larger score, k = ceil((n + 1) * tpr), so that
    rounding in another runtime moves no calibration image across, and accepts at least `tpr` of
    all ID images on average over calibration samples. Of scores that tie it accepts all.

    Args:
        scores_in: (N,) finite scores, higher = more OOD; compared in float32, like served scores.
        tpr: wanted share of accepted ID images, in (0, 1).
        confidence: of the interval of the realised share, in (0, 1).

    Returns:
        A `Threshold`.

    Raises:
        ValueError: scores empty, not 1-D, NaN or infinite; too few of them for `tpr`.

    Reference:
        Angelopoulos & Bates, "A gentle introduction to conformal prediction", 2021, section 3.2.
    """
    _check_fraction("tpr", tpr)
    _check_fraction("confidence", confidence)
    scores = np.sort(_as_float32(as_scores("scores_in", scores_in)))
    # As Fraction(0.95) the float is a little below 19 / 20, and 0.95 * 20 may round either way.
    share = Fraction(repr(float(tpr)))
    wanted_rank = math.ceil((scores.size + 1) * share)
    if wanted_rank > scores.size:
        raise ValueError(
            f"Calibrating to tpr={tpr} needs at least {math.ceil(share / (1 - share))} images. "
            f"Received: scores_in with {scores.size}"
        )
    rank = int(np.searchsorted(scores, scores[wanted_rank - 1], side="right"))
    value = _clear_of(scores, rank)
    interval = _interval(rank, scores.size, confidence)
    return Threshold(float(value), float(tpr), interval, float(confidence), scores.size, rank)


def realised_rate(scores, threshold: Threshold) -> float:
    """Share of `scores` (N,) that the threshold accepts as in-distribution, decided in float32.

    Raises:
        ValueError: scores empty, not 1-D, NaN or infinite.
    """
    accepted = _as_float32(as_scores("scores", scores)) <= np.float32(threshold.value)
    return float(np.mean(accepted))


def _clear_of(scores: np.ndarray, rank: int) -> np.float32:
    below = scores[rank - 1]
    if rank == scores.size:
        return below
    above = scores[rank]
    middle = np.float32((np.float64(below) + np.float64(above)) / 2)
    return below if middle == above else middle


def _interval(rank: int, num_images: int, confidence: float) -> tuple[float, float]:
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    rest = num_images - rank
    low = betaincinv(rank, rest + 1, tail)
    high = betaincinv(rank + 1, rest, 1 - tail) if rest else 1.0
    return float(low), float(high)


def _beta_binomial_quantile(probability: float, num_images: int, a: int, b: int) -> int:
    from scipy.special import betaln

    count = np.arange(num_images + 1)
    log_choices = -betaln(count + 1, num_images - count + 1) - np.log(num_images + 1)
    mass = np.exp(log_choices + betaln(count + a, num_images - count + b) - betaln(a, b))
    cumulative = np.cumsum(mass)
    return min(int(np.searchsorted(cumulative, probability)), num_images)


def _as_float32(scores: np.ndarray) -> np.ndarray:
    extreme = scores[np.argmax(np.abs(scores))]
    if abs(extreme) > np.finfo(np.float32).max:
        raise ValueError(f"Scores must fit into float32. Received: a score of {extreme}")
    return scores.astype(np.float32)


def _check_fraction(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"`{name}` must be in (0, 1). Received: {name}={value}")
