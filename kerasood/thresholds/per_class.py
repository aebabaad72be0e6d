"""A threshold for each predicted class, so that the promise holds for each of them.

One threshold for all may accept 99 % of one class and 80 % of another. Calibration images are
divided by the class the network predicts, which is known for fresh images too; the true one is not.
"""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from kerasood.errors import InvalidInputError
from kerasood.thresholds.ranks import check_promise, needed_images
from kerasood.thresholds.threshold import Threshold, as_float32, calibrate


@dataclasses.dataclass(frozen=True)
class PerClassThreshold:
    """An image is in-distribution when its score is at most the value of its predicted class.

    Args:
        pooled: Threshold of all calibration images, for the classes without one of their own.
        per_class: K thresholds; None for a class with too few images.
        num_predicted: K numbers of calibration images.
    """

    pooled: Threshold
    per_class: tuple[Threshold | None, ...]
    num_predicted: tuple[int, ...]

    @property
    def value(self) -> np.ndarray:
        """The thresholds (K,) float32, by predicted class."""
        values = [(own or self.pooled).value for own in self.per_class]
        return np.array(values, dtype=np.float32)

    @property
    def fallback(self) -> tuple[int, ...]:
        """Classes that use the pooled threshold; nothing is promised for them one by one."""
        return tuple(i for i, own in enumerate(self.per_class) if own is None)

    @property
    def promise(self) -> str:
        """The promise in words."""
        pooled = self.pooled
        how = "on average over calibrations"
        if pooled.guarantee == "confidence":
            how = f"with {100 * pooled.confidence:g}% confidence for each"
        text = (
            f"accept at least {100 * pooled.tpr:g}% of the in-distribution images of each "
            f"predicted class {how}"
        )
        if not self.fallback:
            return text
        few = ", ".join(f"{i} ({self.num_predicted[i]})" for i in self.fallback)
        needed = needed_images(pooled.tpr, pooled.confidence, pooled.guarantee)
        return (
            f"{text}, except for the classes with fewer than {needed} calibration images, which "
            f"use the pooled threshold {pooled.value:.6g}: {few}"
        )

    def accepts(self, scores: ArrayLike, predicted: ArrayLike) -> np.ndarray:
        """Accepts scores as in-distribution, (N,) bool, decided in float32.

        Args:
            scores: (N,) finite.
            predicted: (N,) int in [0, K), the predicted classes.

        Raises:
            ValueError: scores empty, not 1-D, NaN or infinite; classes missing or out of range.
        """
        scores = as_float32("scores", scores)
        predicted = checked_predictions(predicted, scores.size, len(self.per_class))
        return scores <= self.value[predicted]

    def to_json(self) -> dict:
        """A dictionary for `json.dump`; `from_json` reads it."""
        return {
            "pooled": self.pooled.to_json(),
            "per_class": [own and own.to_json() for own in self.per_class],
            "num_predicted": list(self.num_predicted),
        }

    @classmethod
    def from_json(cls, content: dict) -> "PerClassThreshold":
        """The thresholds that `to_json` described.

        Raises:
            ValueError: keys missing or unknown, or a threshold that `Threshold.from_json` refuses.
        """
        expected = {field.name for field in dataclasses.fields(cls)}
        if set(content) != expected or len(content["per_class"]) != len(content["num_predicted"]):
            raise InvalidInputError(
                f"Thresholds per class have exactly the keys {sorted(expected)}, the latter two "
                f"of one length. Received: {content!r}"
            )
        per_class = tuple(own and Threshold.from_json(own) for own in content["per_class"])
        pooled = Threshold.from_json(content["pooled"])
        return cls(pooled, per_class, tuple(content["num_predicted"]))


def calibrate_per_class(
    scores_in: ArrayLike,
    predicted: ArrayLike,
    num_classes: int,
    tpr: float = 0.95,
    confidence: float = 0.95,
    guarantee: str = "average",
) -> PerClassThreshold:
    """Choose a threshold for each predicted class; see `calibrate`.

    The promise then holds for the images of each predicted class. With guarantee "confidence" the
    probability is that of one class; for all K at once ask for 1 - (1 - confidence) / K.

    Args:
        scores_in: (N,) finite scores of ID images that the model was never trained on.
        predicted: (N,) int in [0, K), their predicted classes; see `predicted_classes`.
        num_classes: K >= 1.
        tpr, confidence, guarantee: see `calibrate`.

    Returns:
        A `PerClassThreshold`. Classes with too few images for the promise have none of their own.

    Raises:
        ValueError: as `calibrate` for all images together; classes out of range.

    Reference:
        Vovk, "Conditional validity of inductive conformal predictors", 2012, section 4: Mondrian
        conformal predictors.
    """
    pooled = calibrate(scores_in, tpr, confidence, guarantee)
    scores = np.asarray(scores_in)
    predicted = checked_predictions(predicted, scores.size, num_classes)
    counts = np.bincount(predicted, minlength=num_classes)
    needed = needed_images(tpr, confidence, guarantee)
    per_class = tuple(
        calibrate(scores[predicted == i], tpr, confidence, guarantee) if count >= needed else None
        for i, count in enumerate(counts)
    )
    return PerClassThreshold(pooled, per_class, tuple(map(int, counts)))


@dataclasses.dataclass(frozen=True)
class Promise:
    """Promise of a threshold; see `calibrate`.

    Args:
        tpr: share of in-distribution images that it shall accept, in (0, 1).
        confidence: in (0, 1).
        guarantee: "average" or "confidence".
        per_class: whether each predicted class gets a threshold of its own.
    """

    tpr: float = 0.95
    confidence: float = 0.95
    guarantee: str = "average"
    per_class: bool = False

    def __post_init__(self):
        check_promise(self.tpr, self.confidence, self.guarantee)

    @classmethod
    def of(cls, threshold: Threshold | PerClassThreshold) -> "Promise":
        """The promise that a threshold was calibrated for."""
        pooled = getattr(threshold, "pooled", threshold)
        return cls(pooled.tpr, pooled.confidence, pooled.guarantee, pooled is not threshold)


def calibrate_outputs(
    scores_in: ArrayLike, logits: ArrayLike, promise: Promise
) -> Threshold | PerClassThreshold:
    """One threshold for all images, or one for each predicted class.

    Args:
        scores_in: (N,) scores of ID images that the model was never trained on.
        logits: (N, K) of the same images.
        promise: what it shall promise.

    Raises:
        ValueError: as `calibrate`.
    """
    wanted = promise.tpr, promise.confidence, promise.guarantee
    if not promise.per_class:
        return calibrate(scores_in, *wanted)
    predicted = predicted_classes(logits)
    return calibrate_per_class(scores_in, predicted, np.shape(logits)[-1], *wanted)


def predicted_classes(logits: ArrayLike) -> np.ndarray:
    """The predicted class of each image, (N,) int; of equal logits (N, K) the first."""
    return np.argmax(np.asarray(logits, dtype=np.float32), axis=-1)


def read_threshold(content: dict) -> Threshold | PerClassThreshold:
    """The threshold that either class's `to_json` described.

    Raises:
        ValueError: it describes none.
    """
    if isinstance(content, dict) and "per_class" in content:
        return PerClassThreshold.from_json(content)
    return Threshold.from_json(content)


def checked_predictions(predicted, num_images: int, num_classes: int) -> np.ndarray:
    """Predicted classes as an array.

    Raises:
        ValueError: they are not one integer in [0, num_classes) per image.
    """
    classes = np.asarray(predicted)
    if classes.shape != (num_images,) or classes.dtype.kind not in "iu":
        raise InvalidInputError(
            f"Expected the predicted class, an integer, of each of {num_images} images. Received: "
            f"predicted with shape={classes.shape}, dtype={classes.dtype}"
        )
    if classes.size and not (0 <= classes.min() and classes.max() < num_classes):
        raise InvalidInputError(
            f"Expected predicted classes in [0, {num_classes}). "
            f"Received: classes from {classes.min()} to {classes.max()}"
        )
    return classes
