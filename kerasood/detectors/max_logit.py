"""Maximum logit."""

from kerasood import array_ops as ops
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register


@register("max_logit")
class MaxLogit(Detector):
    """Minus the largest logit: confidence before the softmax takes out its scale.

    Reference:
        Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings",
        ICML 2022.
    """

    def _score(self, outputs):
        return -ops.max(outputs["logits"], axis=-1)
