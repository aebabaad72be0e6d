"""Norm of the head's gradient when it is asked for the uniform distribution."""

from kerasood import array_ops as ops
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register


@register("grad_norm")
class GradNorm(Detector):
    """Minus the L1 norm of the gradient, by the head's kernel, of the cross-entropy to uniform.

    With logits = features @ kernel + bias the gradient of -mean over classes of log softmax is the
    outer product of the features and (softmax - 1 / K). Its L1 norm is therefore exactly
    ||features||_1 * ||softmax - 1 / K||_1, and nothing needs to be differentiated. (The paper's
    released code sums over classes instead: K times as much.)

    Reference:
        Huang, Geng & Li, "On the Importance of Gradients for Detecting Distributional Shifts in the
        Wild", NeurIPS 2021 (GradNorm; the product is the paper's U * V).
    """

    reads = ("features", "logits")

    def _score(self, outputs):
        probabilities = ops.softmax(outputs["logits"], axis=-1)
        distance = ops.sum(ops.abs(probabilities - 1.0 / probabilities.shape[-1]), axis=-1)
        return -ops.sum(ops.abs(outputs["features"]), axis=-1) * distance
