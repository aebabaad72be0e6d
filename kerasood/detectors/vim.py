"""A virtual logit for what the training images leave unused."""

import numpy as np

from kerasood import objectives
from kerasood.detectors.base import Detector, row_blocks
from kerasood.detectors.residual_space import residual_norms, residual_space


class ViM(Detector):
    """The virtual logit, alpha times the residual, less logsumexp of the logits.

    The paper's score is the probability of the virtual logit in a softmax over it and the logits;
    this is its logit, which orders images alike and does not saturate. alpha brings the mean
    residual of the training images to their mean largest logit. Fitting takes two passes, since
    the residuals are known only after the principal space is.

    Args:
        dim: int, dimension of the principal space; see `Residual`.

    Reference:
        Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching", CVPR 2022, eq. 4 and 6.
    """

    reads = ("features", "logits")
    learns = True
    needs_head = True

    def __init__(self, dim=None):
        self.dim = dim

    def _fit(self, outputs, labels, head):
        centre, basis, shift = residual_space(outputs["features"], head, self.dim)
        residuals = largest = 0.0
        # In float32, as images will be scored; their sums in float64.
        single = [np.asarray(part, "float32") for part in (centre, basis, shift)]
        for features, logits in row_blocks(outputs["features"], outputs["logits"], dtype="float32"):
            parts = (features - single[0]) @ single[1] + single[2]
            residuals += np.sqrt(np.einsum("nr,nr->n", parts, parts)).sum(dtype="float64")
            largest += logits.max(axis=1).sum(dtype="float64")
        # Without residuals there is nothing to match.
        alpha = largest / residuals if residuals > 0 else 0.0
        self._keep(centre_=centre, basis_=alpha * basis, shift_=alpha * shift)

    def _score(self, outputs):
        virtual = residual_norms(outputs["features"], self.centre_, self.basis_, self.shift_)
        return virtual + objectives.energy(outputs["logits"])
