"""Nearness to the predicted class's weights, and the size of the features."""

from kerasood import array_ops as ops
from kerasood.detectors._math.distances import norms
from kerasood.detectors._math.predicted import predicted_class
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register
from kerasood.errors import check_not_negative


@register("nci")
class NCI(Detector):
    """Minus the features' projection on the weights of their class, and minus their L1 norm.

    -(w_p . z / ||z|| + alpha ||x||_1) with z = x - mean of the training features, p the predicted
    class and w_p its column of the head. Under neural collapse z points along w_p, and features of
    outliers lie nearer to zero.

    Args:
        alpha: float >= 0, weight of the L1 norm. It depends on the network; better is to choose it
            on generated outliers (`kerasood.evaluation.choosing`).

    Reference:
        Liu & Qin, "Detecting Out-of-Distribution through the Lens of Neural Collapse", CVPR 2025;
        values of alpha as in its released code.
    """

    GRID = {"alpha": (0.0001, 0.001, 0.01, 0.1)}

    reads = ("features", "logits")
    learns = True
    needs_head = True

    def __init__(self, alpha: float = 0.0001):
        self.alpha = alpha

    def _fit(self, outputs, labels, head):
        check_not_negative(alpha=self.alpha)
        kernel, _ = head
        self._keep(mean_=outputs.means["features"], weights_=kernel.T)

    def _score(self, outputs):
        features = outputs["features"]
        centred = features - self.mean_
        weights = ops.take(self.weights_, predicted_class(outputs["logits"]), axis=0)
        length = ops.maximum(norms(centred), 1e-18)
        nearness = ops.sum(weights * centred, axis=-1) / length
        return -(nearness + self.alpha * ops.sum(ops.abs(features), axis=-1))
