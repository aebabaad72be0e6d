"""Discrepancy of two heads."""

from kerasood import array_ops as ops
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register
from kerasood.errors import InvalidInputError


@register("mcd")
class MCD(Detector):
    """The L1 distance of the softmaxes of two heads, between 0 (they agree) and 2.

    For networks with the outputs "logits" (N, K) and "logits_2" (N, K) whose heads were trained to
    agree on in-distribution images and to differ elsewhere.

    Reference:
        Yu & Aizawa, "Unsupervised Out-of-Distribution Detection by Maximum Classifier Discrepancy",
        ICCV 2019, section 3.
    """

    reads = ("logits", "logits_2")

    def _score(self, outputs):
        first, second = (ops.softmax(outputs[name], axis=-1) for name in self.reads)
        if first.shape[-1] != second.shape[-1]:
            raise InvalidInputError(
                "Expected two heads of as many classes. "
                f"Received: {first.shape[-1]} and {second.shape[-1]}"
            )
        return ops.sum(ops.abs(first - second), axis=-1)
