"""Distance to the nearest class mean, less the distance to the mean of all images."""

import numpy as np

from kerasood import array_ops as ops
from kerasood.detectors._math.distances import squared_distances
from kerasood.detectors._math.statistics import moments, whitened_means, whitening
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register

# Singular values below this share of the largest are those of directions without class means.
SMALLEST_SPREAD = 1e-8


@register("relative_mahalanobis")
class RelativeMahalanobis(Detector):
    """Half the difference of two squared Mahalanobis distances, to a class and to all images.

    min over classes of ((x - mean_k)' W^-1 (x - mean_k) - (x - mean)' T^-1 (x - mean)) / 2, with W
    the covariance around the class means and T the covariance around the mean of all images: what
    is as unusual for every class as for the whole does not count.

    T = W + B, with B the covariance of the class means, so that the difference depends on the
    at most K - 1 directions alone in which class means differ, and is computed there: nothing large
    cancels, and little is stored. Directions in which images of one class hardly vary are left out
    of both distances; classes without images have no mean.

    Reference:
        Ren et al., "A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection", ICML
        workshop on Uncertainty and Robustness in Deep Learning 2021, section 2; scaled by one half,
        as Mahalanobis is here.
    """

    reads = ("features",)
    learns = True
    needs_labels = True

    def _fit(self, outputs, labels, head):
        fitted = moments(outputs["features"], labels, int(labels.max()) + 1)
        whitener = whitening(fitted.within_covariance)
        means = whitened_means(fitted.class_means, fitted.mean, whitener)
        spread, directions = _class_directions(means, fitted.counts[fitted.counts > 0])
        along = means @ directions
        # In a direction where class means vary by b = spread^2 and images of one class by 1, the
        # difference for a row at y is y^2 s - 2 y m + m^2 with s = b / (1 + b): a squared distance
        # between y sqrt(s) and m / sqrt(s), less m^2 / b.
        root = spread / np.sqrt(1 + spread**2)
        projection = whitener @ directions * root
        self._keep(
            centre_=fitted.centre,
            projection_=projection,
            means_=along / root + (fitted.mean - fitted.centre) @ projection,
            offsets_=np.sum(np.square(along / spread), axis=1),
        )

    def _score(self, outputs):
        projected = ops.matmul(outputs["features"] - self.centre_, self.projection_)
        relative = squared_distances(projected, self.means_) - self.offsets_
        return 0.5 * ops.min(relative, axis=-1)


def _class_directions(means, counts):
    """Spread of whitened class means (C, R), (r,), and the directions of it, (R, r); r >= 1."""
    weights = np.sqrt(counts / counts.sum())[:, None]
    _, spread, directions = np.linalg.svd(weights * means, full_matrices=False)
    kept = spread > spread[0] * SMALLEST_SPREAD
    if not kept.any():
        return np.ones(1), np.zeros((means.shape[1], 1))
    return spread[kept], directions[kept].T
