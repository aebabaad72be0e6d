"""Features clipped from above."""

import numpy as np

from kerasood import array_ops as ops
from kerasood.detectors.base import Detector
from kerasood.detectors.rectifier import Rectifier
from kerasood.detectors.registry import register
from kerasood.errors import InvalidInputError


@register("react")
class ReAct(Rectifier):
    """min(features, c), where c is a percentile of all activations of the training images.

    Args:
        percentile: float in [0, 100]. The paper's 90 takes most of what a DenseNet says; see
            docs/detectors/rectifiers.md.
        detector: Detector that scores, or None for `Energy()`, as in the paper.

    Reference:
        Sun et al., "ReAct: Out-of-distribution Detection With Rectified Activations",
        NeurIPS 2021, section 3.
    """

    GRID = {"percentile": (80, 85, 90, 95, 99)}

    def __init__(self, percentile: float = 99, detector: Detector | None = None):
        super().__init__(detector)
        self.percentile = percentile

    def rectify(self, features):
        return ops.minimum(features, self.threshold_)

    def _learn(self, features, kernel):
        if not 0 <= self.percentile <= 100:
            raise InvalidInputError(f"Expected percentile in [0, 100]. Received: {self.percentile}")
        self._keep(threshold_=np.percentile(features, self.percentile))
        return kernel
