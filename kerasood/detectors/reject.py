"""Odds of reject classes."""

from kerasood import array_ops as ops
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register


@register("reject")
class Reject(Detector):
    """Log-odds of the reject classes: logsumexp of their logits minus that of the classes.

    For networks with the output "reject_logits" (N, R) beside "logits" (N, K), trained with one
    softmax over all K + R. It orders images as the probability of the reject classes does, and
    keeps their order where that is 0 or 1 in float32.

    Reference:
        Chen et al., "ATOM: Robustifying Out-of-distribution Detection Using Outlier Mining", ECML
        2021 (R = 1); Mohseni et al., "Self-Supervised Learning for Generalizable
        Out-of-Distribution Detection", AAAI 2020.
    """

    reads = ("logits", "reject_logits")

    def _score(self, outputs):
        logits, rejects = (outputs[name] for name in self.reads)
        return ops.logsumexp(rejects, axis=-1) - ops.logsumexp(logits, axis=-1)
