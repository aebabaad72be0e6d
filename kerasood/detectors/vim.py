"""A virtual logit for what the training images leave unused."""

import numpy as np

from kerasood import array_ops as ops
from kerasood.detectors._math.distances import norms
from kerasood.detectors._math.residual_space import residual_norms, residual_space
from kerasood.detectors._math.rows import row_blocks
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register
from kerasood.training import objectives

# Shorter residuals, as a share of the features' length around their mean, are float32's rounding;
# so are shorter such lengths, as a share of the features' own.
SMALLEST_RESIDUAL = 1e-5
SMALLEST_LENGTH = 1e-6


@register("vim")
class ViM(Detector):
    """The virtual logit, alpha times the residual, less logsumexp of the logits.

    The paper's score is the probability of the virtual logit in a softmax over it and the logits;
    this is its logit, which orders images alike and does not saturate. alpha brings the mean
    residual of the training images to the size of their mean largest logit. Where their residuals
    are rounding, it is 0 and the score the energy: where half of the features are always zero,
    where there are fewer images than `dim`, or where all images have the same features. Fitting
    takes two passes, since the residuals are known only after the principal space is.

    Args:
        dim: int, dimension of the principal space; see `Residual`.

    Reference:
        Wang et al., "ViM: Out-Of-Distribution with Virtual-logit Matching", CVPR 2022, eq. 4 and 6.
    """

    reads = ("features", "logits")
    learns = True
    needs_head = True

    def __init__(self, dim: int | None = None):
        self.dim = dim

    def _fit(self, outputs, labels, head):
        centre, basis, shift = residual_space(outputs["features"], head, self.dim)
        residuals = around_mean = lengths = largest = 0.0
        # In float32, as images will be scored; their sums in float64.
        single = [np.asarray(part, "float32") for part in (centre, basis, shift)]
        for features, logits in row_blocks(outputs["features"], outputs["logits"], dtype="float32"):
            centred = features - single[0]
            residuals += norms(centred @ single[1] + single[2]).sum(dtype="float64")
            around_mean += norms(centred).sum(dtype="float64")
            lengths += norms(features).sum(dtype="float64")
            largest += ops.max(logits, axis=-1).sum(dtype="float64")
        varies = around_mean > SMALLEST_LENGTH * lengths
        known = varies and residuals > SMALLEST_RESIDUAL * around_mean
        alpha = largest / residuals if known else 0.0
        self._keep(centre_=centre, basis_=alpha * basis, shift_=alpha * shift)

    def _score(self, outputs):
        virtual = residual_norms(outputs["features"], self.centre_, self.basis_, self.shift_)
        return virtual + objectives.energy(outputs["logits"])
