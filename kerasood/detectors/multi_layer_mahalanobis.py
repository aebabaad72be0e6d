"""Mahalanobis distances in several layers, added up."""

from collections.abc import Sequence

import numpy as np

from kerasood.detectors._math.distances import nearest_class_distances
from kerasood.detectors._math.rows import row_blocks
from kerasood.detectors._math.statistics import Moments, whitened_classes
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register
from kerasood.errors import InvalidInputError

PARTS = ("centre", "whitener", "means")
# Scores that vary by less, as a share of their mean, vary by float32's rounding: the layer says
# nothing.
SMALLEST_DEVIATION = 1e-5


@register("multi_layer_mahalanobis")
class MultiLayerMahalanobis(Detector):
    """A weighted sum of the layers' Mahalanobis scores, each standardised on the training images.

    A layer's score is that of `Mahalanobis` on its outputs pooled to one row per image. The paper
    weighs the layers by a logistic regression on validation outliers; without outliers every score
    is brought to mean 0 and standard deviation 1 over the training images instead, and the layers
    count alike. Fitting takes two passes: moments first, then the mean and deviation of the scores.

    Args:
        weights: None for equal ones, or a float for each layer: the features first, then the
            outputs named "hidden/..." in alphabetical order.

    Reference:
        Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
        Adversarial Attacks", NeurIPS 2018, eq. 1 to 3 and algorithm 1; without its step on the
        image.
    """

    reads = ("features", "hidden")
    learns = True
    needs_labels = True

    def __init__(self, weights: Sequence[float] | None = None):
        self.weights = weights

    def _fit(self, outputs, labels, head):
        weights = self._layer_weights(len(outputs))
        score_means, scales = [], []
        for index, rows in enumerate(outputs.values()):
            fitted = zip(PARTS, whitened_classes(rows, labels), strict=True)
            # A layer's name has a slash, which saving keeps for a detector inside a detector.
            self._keep(**{f"{part}_{index}_": value for part, value in fitted})
            mean, deviation = self._score_moments(index, rows)
            score_means.append(mean)
            varies = deviation > SMALLEST_DEVIATION * abs(mean)
            scales.append(weights[index] / deviation if varies else 0.0)
        self._keep(score_means_=score_means, scales_=scales)

    def _score(self, outputs):
        total = 0.0
        for index, rows in enumerate(outputs.values()):
            standard = self._layer_score(index, rows) - self.score_means_[index]
            total = total + self.scales_[index] * standard
        return total

    def _layer_score(self, index, rows):
        parts = (getattr(self, f"{part}_{index}_") for part in PARTS)
        return nearest_class_distances(rows, *parts)

    def _score_moments(self, index, rows):
        """Mean and standard deviation of a layer's scores over its training images."""
        fitted = Moments()
        for (block,) in row_blocks(rows, dtype="float32"):
            fitted.update(self._layer_score(index, block)[:, None])
        return fitted.mean[0], np.sqrt(max(fitted.covariance[0, 0], 0.0))

    def _layer_weights(self, num_layers):
        if self.weights is None:
            return np.ones(num_layers)
        weights = np.asarray(self.weights, "float64")
        if weights.shape != (num_layers,) or not np.isfinite(weights).all():
            raise InvalidInputError(
                f"Expected {num_layers} finite weights, one for each layer. "
                f"Received: {self.weights}"
            )
        return weights
