"""Maximum logit."""

from keras import ops

from kerasood.detectors.base import Detector, logits_of


class MaxLogit(Detector):
    """Minus the largest logit: confidence before the softmax takes out its scale.

    Reference:
        Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings",
        ICML 2022.
    """

    def score(self, outputs):
        return -ops.max(logits_of(outputs), axis=-1)
