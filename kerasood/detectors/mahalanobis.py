"""Distance to the nearest class mean under one shared covariance."""

from keras import ops

from kerasood.detectors._math.distances import nearest_class_distances
from kerasood.detectors._math.statistics import whitened_classes
from kerasood.detectors.checks import tensor_of
from kerasood.detectors.registry import register
from kerasood.detectors.stepped import SteppedDetector


@register("mahalanobis")
class Mahalanobis(SteppedDetector):
    """Half the squared Mahalanobis distance of the features to the nearest class mean.

    The classes share one covariance, of the features around their class means, divided by N.
    Directions with next to no variance are left out; classes without images have no mean.

    Args:
        magnitude: float >= 0, share of the pixel range: a step on the image that lowers the
            distance to the nearest class before it is scored; 0 scores images as they are.

    Reference:
        Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
        Adversarial Attacks", NeurIPS 2018, eq. 1 to 3; last layer alone and scaled by one half,
        as in the energy score's released code.
    """

    GRID = {"magnitude": (0.0, 0.0005, 0.001, 0.0014, 0.002, 0.005, 0.01)}

    reads = ("features",)
    learns = True
    needs_labels = True

    def __init__(self, magnitude: float = 0.0):
        self.magnitude = magnitude

    def input_loss(self, outputs):
        # As tensors: PyTorch's do not mix with arrays under gradients.
        fitted = map(ops.convert_to_tensor, (self.centre_, self.whitener_, self.means_))
        return nearest_class_distances(tensor_of(outputs, "features"), *fitted)

    def _fit(self, outputs, labels, head):
        centre, whitener, means = whitened_classes(outputs["features"], labels)
        self._keep(centre_=centre, whitener_=whitener, means_=means)

    def _score(self, outputs):
        return nearest_class_distances(
            outputs["features"], self.centre_, self.whitener_, self.means_
        )
