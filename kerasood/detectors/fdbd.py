"""Distance to the decision boundaries, relative to the distance from the training images' mean."""

import numpy as np

from kerasood import array_ops as ops
from kerasood.detectors._math.distances import norms
from kerasood.detectors._math.predicted import predicted_class
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register


@register("fdbd")
class FDBD(Detector):
    """Minus the mean distance to the other classes' boundaries over the distance from the mean.

    -(1 / (K - 1)) sum over c != p of (logit_p - logit_c) / (||w_p - w_c|| ||x - mean||), with p
    the predicted class, w the columns of the head and `mean` that of the training features.
    Classes with equal weights have no boundary between them, and count as one on the boundary.

    Reference:
        Liu & Qin, "Fast Decision Boundary based Out-of-Distribution Detector", ICML 2024 (fDBD).
    """

    reads = ("features", "logits")
    learns = True
    needs_head = True

    def _fit(self, outputs, labels, head):
        kernel, _ = head
        gaps = np.stack([np.linalg.norm(kernel.T - weights, axis=1) for weights in kernel.T])
        inverse = np.divide(1.0, gaps, out=np.zeros_like(gaps), where=gaps > 0)
        self._keep(
            mean_=outputs.means["features"],
            inverse_gaps_=inverse / (len(gaps) - 1),
        )

    def _score(self, outputs):
        logits = outputs["logits"]
        margins = ops.max(logits, axis=-1, keepdims=True) - logits
        inverse_gaps = ops.take(self.inverse_gaps_, predicted_class(logits), axis=0)
        distance = ops.sum(margins * inverse_gaps, axis=-1)
        # The mean itself is as certain as can be without leaving float32.
        return -distance / ops.maximum(norms(outputs["features"] - self.mean_), 1e-18)
