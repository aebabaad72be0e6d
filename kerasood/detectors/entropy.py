"""Entropy of the softmax."""

from kerasood import array_ops as ops
from kerasood.detectors._math.predicted import predicted_mask
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register


@register("entropy")
class Entropy(Detector):
    """H(p) = -sum p log p of the softmax p, in nats: from 0 (certain) to log K (no idea).

    Summed from terms that are never negative, so that certain images keep their order.

    Reference:
        Shannon, "A Mathematical Theory of Communication", 1948, section 6, of the softmax.
    """

    def _score(self, outputs):
        logits = outputs["logits"]
        below = ops.max(logits, axis=-1, keepdims=True) - logits
        odds = ops.exp(-below)
        others = ops.sum(odds * (1.0 - predicted_mask(logits)), axis=-1)
        # H = log(1 + others) + sum p * below, 1 + others being the sum of all odds.
        return ops.log1p(others) + ops.sum(odds * below, axis=-1) / (1.0 + others)
