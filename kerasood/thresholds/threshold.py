"""The threshold of a detector: calibrated on held-out ID images, with what it promises."""

import dataclasses
import math
import typing

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from kerasood.errors import InvalidInputError
from kerasood.metrics import as_scores
from kerasood.thresholds.ranks import check_promise, needed_images, required_rank, share_at

NUM_KEPT = 9


@dataclasses.dataclass(frozen=True)
class Threshold:
    """An image is in-distribution when its float32 score is at most `value`.

    Args:
        value: the threshold, exactly representable in float32.
        tpr: least share of ID images that it promises to accept, in (0, 1).
        interval: lowest and highest share of all ID images that it may accept.
        confidence: of the interval, two-sided, and of the guarantee "confidence", in (0, 1).
        num_images: number n of calibration images.
        rank: number of calibration images that it accepts.
        guarantee: how `tpr` is promised: on "average" over calibrations, or by this very
            calibration with a probability of `confidence`.
        scores: a few of the calibration scores, evenly spaced in rank, the lowest and the highest
            among them: what scores of such images look like.
    """

    value: float
    tpr: float
    interval: tuple[float, float]
    confidence: float
    num_images: int
    rank: int
    guarantee: str = "average"
    scores: tuple[float, ...] = ()

    @property
    def required_rank(self) -> int:
        """Number of calibration images that the promise needs accepted; `rank` is more by ties.

        Every lower end follows from it: chosen after the ties are seen, `rank` would give bounds
        that are missed too often.
        """
        return required_rank(self.num_images, self.tpr, self.confidence, self.guarantee)

    @property
    def lower_bound(self) -> float:
        """Share of all ID images that it accepts at least, one-sided, with `confidence`."""
        return share_at(1 - self.confidence, self.required_rank, self.num_images)

    @property
    def promise(self) -> str:
        """The promise in words."""
        how = "on average over calibrations"
        if self.guarantee == "confidence":
            how = f"with {100 * self.confidence:g}% confidence"
        low, high = self.interval
        return (
            f"accepts at least {100 * self.tpr:g}% of in-distribution images {how} (two-sided "
            f"{100 * self.confidence:g}% interval for this one: {low:.1%} to {high:.1%})"
        )

    def accepts(self, scores: ArrayLike, predicted: ArrayLike | None = None) -> np.ndarray:
        """Accepts scores (N,) as in-distribution, (N,) bool, decided in float32.

        Args:
            scores: (N,) finite.
            predicted: ignored; a `PerClassThreshold` needs it here.

        Raises:
            ValueError: scores empty, not 1-D, NaN or infinite.
        """
        return as_float32("scores", scores) <= np.float32(self.value)

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
            raise InvalidInputError(
                f"`num_images` must be at least 1. Received: num_images={num_images}"
            )
        tail = (1 - self.confidence) / 2
        fewest, most = self.accepted_masses(num_images)
        low = np.searchsorted(np.cumsum(fewest), tail)
        high = np.searchsorted(np.cumsum(most), 1 - tail)
        return int(low) / num_images, min(int(high), num_images) / num_images

    def accepted_masses(self, num_images: int) -> tuple[np.ndarray, np.ndarray]:
        """The distributions between which the number of accepted fresh ID images lies.

        The threshold lies anywhere from the score of `required_rank` to the one after `rank`, so
        the number lies between two beta-binomial ones.

        Args:
            num_images: number m of fresh images.

        Returns:
            Probabilities of 0..m for the fewest and for the most, two (m + 1,) float64 arrays.
        """
        accepted = np.arange(num_images + 1)
        required, rest = self.required_rank, self.num_images - self.rank
        fewest = stats.betabinom.pmf(
            accepted, num_images, required, self.num_images + 1 - required
        )
        if rest:
            return fewest, stats.betabinom.pmf(accepted, num_images, self.rank + 1, rest)
        return fewest, (accepted == num_images).astype(np.float64)

    def covers(self, scores: ArrayLike) -> bool:
        """True where any of some scores lies among those that it was calibrated on.

        Scores that all lie elsewhere come of other images, or of other pixels of the same.

        Args:
            scores: (N,) float.
        """
        if not self.scores:
            return True
        scores = np.asarray(scores)
        return bool(np.any((self.scores[0] <= scores) & (scores <= self.scores[-1])))

    def to_json(self) -> dict:
        """A dictionary for `json.dump`; `from_json` reads it."""
        lists = {"interval": list(self.interval), "scores": list(self.scores)}
        return {**dataclasses.asdict(self), **lists}

    @classmethod
    def from_json(cls, content: dict) -> "Threshold":
        """The threshold that `to_json` described.

        Raises:
            ValueError: keys missing or unknown, a value that is no float32 number, an impossible
                promise, or counts and an interval that no calibration gives.
        """
        expected = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(content, dict) or set(content) != expected:
            raise InvalidInputError(
                f"A threshold has exactly the keys {sorted(expected)}. Received: {content!r}"
            )
        try:
            tuples = {name: tuple(content[name]) for name in ("interval", "scores")}
            threshold = cls(**{**content, **tuples})
            threshold._check()
        except TypeError as error:
            raise InvalidInputError(
                f"Expected numbers in a threshold. Received: {content!r}"
            ) from error
        return threshold

    def _check(self):
        as_float32 = float(np.float32(self.value))
        if not math.isfinite(as_float32) or as_float32 != self.value:
            raise InvalidInputError(
                f"A threshold's value must be a finite float32 number. "
                f"Received: value={self.value!r}"
            )
        check_promise(self.tpr, self.confidence, self.guarantee)
        counts = self.rank, self.num_images
        if set(map(type, counts)) != {int} or not 1 <= self.rank <= self.num_images or (
            self.rank < self.required_rank
        ):
            raise InvalidInputError(
                "Expected counts of a calibration that keeps its promise. "
                f"Received: num_images={self.num_images!r}, rank={self.rank!r}"
            )
        rows = _kept_rows(self.num_images)
        accepted = [score <= self.value for score in self.scores]
        if self.scores and (
            list(self.scores) != sorted(self.scores) or accepted != list(rows < self.rank)
        ):
            raise InvalidInputError(
                f"Expected scores of a calibration with rank={self.rank}. Received: {self.scores!r}"
            )
        if not np.allclose(self.interval, self._expected_interval, rtol=0, atol=1e-6):
            raise InvalidInputError(
                f"Expected the interval {self._expected_interval}. Received: {self.interval!r}"
            )

    @property
    def _expected_interval(self):
        tail = (1 - self.confidence) / 2
        return (
            share_at(tail, self.required_rank, self.num_images),
            share_at(1 - tail, self.rank + 1, self.num_images),
        )


def calibrate(
    scores_in: ArrayLike, tpr: float = 0.95, confidence: float = 0.95, guarantee: str = "average"
) -> Threshold:
    """Choose the threshold from scores of ID images that the model was never trained on.

    It lies halfway between the k-th and the next larger score, so that rounding in another runtime
    moves no calibration image across; k is the smallest rank that keeps the promise, in which
    "average" means k = ceil((n + 1) * tpr). Of scores that tie it accepts all. The promises hold
    for every distribution of scores, tied ones included.

    Args:
        scores_in: (N,) finite scores, higher = more OOD; compared in float32, like served scores.
        tpr: wanted share of accepted ID images, in (0, 1).
        confidence: of the interval of the realised share, and of the guarantee "confidence", in
            (0, 1).
        guarantee: "average": at least `tpr` of all ID images are accepted on average over
            calibration samples, with about half of the samples a little less; or "confidence":
            with a probability of at least `confidence` over calibration samples, at least `tpr`.

    Returns:
        A `Threshold`.

    Raises:
        ValueError: scores empty, not 1-D, NaN or infinite; too few of them for the promise.

    Reference:
        Angelopoulos & Bates, "A gentle introduction to conformal prediction", 2021, section 3.2.
    """
    check_promise(tpr, confidence, guarantee)
    scores = np.sort(as_float32("scores_in", scores_in))
    required = required_rank(scores.size, tpr, confidence, guarantee)
    if required > scores.size:
        how = f" with {confidence=}" if guarantee == "confidence" else ""
        raise InvalidInputError(
            f"Calibrating to tpr={tpr}{how} needs at least "
            f"{needed_images(tpr, confidence, guarantee)} images. "
            f"Received: scores_in with {scores.size}"
        )
    rank = int(np.searchsorted(scores, scores[required - 1], side="right"))
    threshold = Threshold(
        value=float(_clear_of(scores, rank)),
        tpr=float(tpr),
        interval=(0.0, 1.0),
        confidence=float(confidence),
        num_images=scores.size,
        rank=rank,
        guarantee=guarantee,
        scores=tuple(scores[_kept_rows(scores.size)].tolist()),
    )
    return dataclasses.replace(threshold, interval=threshold._expected_interval)


def realised_rate(
    scores: ArrayLike, threshold: typing.Any, predicted: ArrayLike | None = None
) -> float:
    """Share of `scores` (N,) that the threshold accepts as in-distribution, decided in float32.

    Args:
        scores: (N,) finite.
        threshold: Threshold, or PerClassThreshold.
        predicted: (N,) int, the predicted classes, for a PerClassThreshold.

    Raises:
        ValueError: scores empty, not 1-D, NaN or infinite; classes missing or out of range.
    """
    return float(np.mean(threshold.accepts(scores, predicted)))


def as_float32(name: str, scores: ArrayLike) -> np.ndarray:
    """Scores (N,) as float32, in which they are compared.

    Raises:
        ValueError: scores empty, not 1-D, NaN, infinite, or beyond float32.
    """
    scores = as_scores(name, scores)
    extreme = scores[np.argmax(np.abs(scores))]
    if abs(extreme) > np.finfo(np.float32).max:
        raise InvalidInputError(f"Scores must fit into float32. Received: a score of {extreme}")
    return scores.astype(np.float32)


def _kept_rows(num_images: int) -> np.ndarray:
    return np.unique(np.linspace(0, num_images - 1, NUM_KEPT).astype(int))


def _clear_of(scores: np.ndarray, rank: int) -> np.float32:
    below = scores[rank - 1]
    if rank == scores.size:
        return below
    above = scores[rank]
    middle = np.float32((np.float64(below) + np.float64(above)) / 2)
    return below if middle == above else middle
