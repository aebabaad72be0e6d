"""Maximum softmax probability."""

from kerasood import array_ops as ops
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register


@register("msp")
class MSP(Detector):
    """Minus the maximum softmax probability: the classifier's own confidence.

    Reference:
        Hendrycks & Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
        Examples in Neural Networks", ICLR 2017.
    """

    def _score(self, outputs):
        return -ops.max(ops.softmax(outputs["logits"], axis=-1), axis=-1)
