"""A head of few weights: those that contribute most on training images."""

import numpy as np

from kerasood.detectors._math.rows import column_means
from kerasood.detectors.base import Detector
from kerasood.detectors.rectifier import Rectifier
from kerasood.detectors.registry import register
from kerasood.errors import InvalidInputError


@register("dice")
class DICE(Rectifier):
    """Keeps the weights with the largest contributions, mean feature * weight, of the whole head.

    All others count as 0; the bias stays. Features are as they were. Of equal contributions the
    first weights are kept, in the order of the kernel (D, K).

    Args:
        sparsity: float in [0, 1), the paper's p: the share of the weights that is left out; 0.9 in
            the paper on CIFAR-10 and CIFAR-100, 0.7 on ImageNet.
        detector: Detector that scores, or None for `Energy()`, as in the paper.

    Reference:
        Sun & Li, "DICE: Leveraging Sparsification for Out-of-Distribution Detection", ECCV 2022,
        section 3.
    """

    GRID = {"sparsity": (0.1, 0.3, 0.5, 0.7, 0.9)}

    def __init__(self, sparsity: float = 0.9, detector: Detector | None = None):
        super().__init__(detector)
        self.sparsity = sparsity

    def rectify(self, features):
        return features

    def _learn(self, features, kernel):
        if not 0 <= self.sparsity < 1:
            raise InvalidInputError(f"Expected sparsity in [0, 1). Received: {self.sparsity}")
        contributions = (column_means(features)[:, None] * kernel).ravel()
        num_kept = max(1, round((1 - self.sparsity) * kernel.size))
        kept = np.argsort(-contributions, kind="stable")[:num_kept]
        masked = np.zeros(kernel.size)
        masked[kept] = kernel.ravel()[kept]
        return masked.reshape(kernel.shape)
