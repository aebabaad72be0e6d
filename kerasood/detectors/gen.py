"""Generalised entropy of the softmax."""

from kerasood import array_ops as ops
from kerasood.detectors._math.largest import largest_values
from kerasood.detectors._math.predicted import predicted_mask
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register
from kerasood.errors import InvalidInputError, check_whole

# As many classes are all taken into account; of more, a tenth.
FEW_CLASSES = 100


@register("gen")
class GEN(Detector):
    """Sum of p^gamma * (1 - p)^gamma over the M most probable classes.

    Args:
        gamma: float in (0, 1], 0.1 in the paper: the smaller, the more an image's score says about
            classes of next to no probability.
        top_classes: int >= 1, the paper's M, or None for all of up to 100 classes and a tenth of
            more, but at least 100 (the paper takes 100 of 1,000).

    Reference:
        Liu, Lochman & Zach, "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution
        Detection", CVPR 2023, section 3.
    """

    GRID = {"gamma": (0.01, 0.1, 0.5, 1.0)}

    def __init__(self, gamma: float = 0.1, top_classes: int | None = None):
        self.gamma = gamma
        self.top_classes = top_classes

    def _score(self, outputs):
        if not 0 < self.gamma <= 1:
            raise InvalidInputError(f"Expected gamma in (0, 1]. Received: {self.gamma}")
        logits = outputs["logits"]
        terms = ops.exp(self.gamma * _log_variances(logits))
        num_top = self._num_top(logits.shape[-1])
        if num_top < logits.shape[-1]:
            # p (1 - p) is largest for the most probable class and falls with p among the others.
            terms = largest_values(terms, num_top)
        return ops.sum(terms, axis=-1)

    def _num_top(self, num_classes):
        if self.top_classes is None:
            return min(num_classes, max(FEW_CLASSES, num_classes // 10))
        check_whole(1, top_classes=self.top_classes)
        return min(num_classes, self.top_classes)


def _log_variances(logits):
    """log(p (1 - p)) of every class, (N, K); exact where p is 0 or 1 in float32."""
    predicted = predicted_mask(logits)
    below = ops.max(logits, axis=-1, keepdims=True) - logits
    # The other classes among themselves: 1 - p of the predicted one without a difference.
    second = ops.min(ops.where(predicted > 0, float("inf"), below), axis=-1, keepdims=True)
    odds = ops.exp(ops.minimum(second - below, 0.0))
    rest = ops.sum((1.0 - predicted) * odds, axis=-1, keepdims=True)
    log_odds_others = ops.log(rest) - second
    log_total = ops.log1p(ops.exp(log_odds_others))
    # min(p, 1/2) leaves other classes as they are and keeps the predicted one's logarithm finite.
    log_remaining = ops.log1p(-ops.exp(ops.minimum(-below - log_total, -0.6931472)))
    log_remaining = ops.where(predicted > 0, log_odds_others - log_total, log_remaining)
    return -below - log_total + log_remaining
