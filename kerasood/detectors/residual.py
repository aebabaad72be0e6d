"""Norm of the part of the features that training images leave unused."""

from kerasood.detectors._math.residual_space import residual_norms, residual_space
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register


@register("residual")
class Residual(Detector):
    """Length of the features' part outside the principal space of the training features.

    ||R'(x - o)||: R spans the directions of least variance around the origin o = -pinv(W') b, the
    point whose logits are nearest to zero. Training features that span fewer than `dim` directions
    are a principal space of fewer: the score is then the distance to what they span.

    Args:
        dim: int, dimension of the principal space, less than the number of features D; None for
            1000 where D >= 2048, 512 where D >= 768, else half of D.

    Reference:
        Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching", CVPR 2022, eq. 4.
    """

    reads = ("features",)
    learns = True
    needs_head = True

    def __init__(self, dim: int | None = None):
        self.dim = dim

    def _fit(self, outputs, labels, head):
        centre, basis, shift = residual_space(outputs["features"], head, self.dim)
        self._keep(centre_=centre, basis_=basis, shift_=shift)

    def _score(self, outputs):
        return residual_norms(outputs["features"], self.centre_, self.basis_, self.shift_)
