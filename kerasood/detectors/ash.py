"""Features without all but their largest activations, image by image."""

import abc

from kerasood import array_ops as ops
from kerasood.detectors._math.largest import kept_count, largest_mask
from kerasood.detectors.base import Detector
from kerasood.detectors.rectifier import Rectifier
from kerasood.detectors.registry import register

# exp of it times features and weights still fits into float32.
LARGEST_EXPONENT = 60.0


class _ActivationShaping(Rectifier):
    """Base of the variants, which differ in what happens to the activations that stay.

    Args:
        percentile: float in [0, 100), share of each image's activations that is set to 0; D minus
            the rounded share of D stay, at least one.
        detector: Detector that scores, or None for `Energy()`, as in the paper.
    """

    GRID = {"percentile": (65, 80, 90, 95)}

    def __init__(self, percentile: float = 90, detector: Detector | None = None):
        super().__init__(detector)
        self.percentile = percentile

    def rectify(self, features):
        mask, kept = largest_mask(features, kept_count(features.shape[-1], self.percentile))
        return ops.where(mask, self._shape(features, kept), 0.0)

    @abc.abstractmethod
    def _shape(self, features, kept):
        """Reshapes features (N, D), of which `kept` (N, C) stay: (N, D) or (N, 1)."""

    def _learn(self, features, kernel):
        kept_count(features.shape[-1], self.percentile)
        return kernel


@register("ash_p")
class ASHP(_ActivationShaping):
    """ASH-P: the activations of an image below its percentile become 0, the others stay.

    Applied to the pooled features (N, D), the input of the head; the paper shapes the output of a
    late layer, which in its released code may be a map (N, C, H, W) as well.

    Args:
        percentile: float in [0, 100).
        detector: Detector that scores, or None for `Energy()`.

    Reference:
        Djurisic et al., "Extremely Simple Activation Shaping for Out-of-Distribution Detection",
        ICLR 2023 (ASH-P).
    """

    def _shape(self, features, kept):
        return features


@register("ash_b")
class ASHB(_ActivationShaping):
    """ASH-B: the activations that stay share the image's sum equally, the others become 0.

    Applied to the pooled features (N, D), as `ASHP`.

    Args:
        percentile: float in [0, 100).
        detector: Detector that scores, or None for `Energy()`.

    Reference:
        Djurisic et al., ICLR 2023 (ASH-B).
    """

    def _shape(self, features, kept):
        return ops.sum(features, axis=-1, keepdims=True) / kept.shape[-1]


@register("ash_s")
class ASHS(_ActivationShaping):
    """ASH-S: the activations that stay are scaled by exp(sum of all / sum of those that stay).

    Applied to the pooled features (N, D), as `ASHP`.

    Args:
        percentile: float in [0, 100).
        detector: Detector that scores, or None for `Energy()`.

    Reference:
        Djurisic et al., ICLR 2023 (ASH-S).
    """

    def _shape(self, features, kept):
        return features * scaling(features, kept)


def scaling(features, kept):
    """exp(sum of an image's activations / sum of those that stay): (N, 1) float32.

    1 where those that stay sum to nothing. The ratio is at most D over their number where no
    feature is negative; others could make it anything, and it ends at 60.

    Args:
        features: (N, D) float32.
        kept: (N, C) float32, those of them that stay.
    """
    total = ops.sum(features, axis=-1, keepdims=True)
    kept = ops.sum(kept, axis=-1, keepdims=True)
    positive = kept > 0
    ratio = ops.where(positive, total / ops.where(positive, kept, 1.0), 0.0)
    return ops.exp(ops.minimum(ratio, LARGEST_EXPONENT))
