"""Features scaled by how much of their sum lies in the largest of them."""

from kerasood.detectors._math.largest import kept_count, largest_values
from kerasood.detectors.ash import scaling
from kerasood.detectors.base import Detector
from kerasood.detectors.rectifier import Rectifier
from kerasood.detectors.registry import register


@register("scale")
class SCALE(Rectifier):
    """features * exp(sum of all / sum of the largest), image by image; nothing is set to 0.

    Scaling an image's features cannot change which of them are large, as ASH's pruning does.
    Applied to the pooled features (N, D).

    Args:
        percentile: float in [0, 100), share of the activations that is not among the largest; 85
            in the paper.
        detector: Detector that scores, or None for `Energy()`, as in the paper.

    Reference:
        Xu et al., "Scaling for Training Time and Post-hoc Out-of-distribution Detection
        Enhancement", ICLR 2024 (SCALE, post hoc).
    """

    GRID = {"percentile": (65, 75, 85, 95)}

    def __init__(self, percentile: float = 85, detector: Detector | None = None):
        super().__init__(detector)
        self.percentile = percentile

    def rectify(self, features):
        kept = largest_values(features, kept_count(features.shape[-1], self.percentile))
        return features * scaling(features, kept)

    def _learn(self, features, kernel):
        kept_count(features.shape[-1], self.percentile)
        return kernel
