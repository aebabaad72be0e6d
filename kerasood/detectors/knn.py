"""Distance to the k-th nearest training image."""

from kerasood import array_ops as ops
from kerasood.detectors._math.bank import bank_rows, largest_products, unit_bank
from kerasood.detectors._math.distances import unit_rows
from kerasood.detectors._math.rows import column_means
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register
from kerasood.errors import check_whole


@register("knn")
class KNN(Detector):
    """Euclidean distance to the k-th nearest of a bank of training features, all of length 1.

    ||z - z_(k)|| with z = features / ||features||, exact. Products are taken around the mean of
    the bank, since unit features lie close together.

    Args:
        k: int >= 1; the bank's size where that is smaller. The paper chose 50 for CIFAR-10 and 200
            for CIFAR-100, with all 50,000 training images in the bank; a bank of a hundredth
            wants a k of a hundredth.
        bank_size: int >= 1, training images that the bank keeps, or None for all. The bank is
            stored with the detector and in exported models: 4 * D bytes per image.
        seed: int >= 0, of the draw.

    Reference:
        Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022,
        algorithm 1.
    """

    reads = ("features",)
    learns = True
    on_backend = True

    def __init__(self, k: int = 50, bank_size: int | None = 50_000, seed: int = 0):
        self.k = k
        self.bank_size = bank_size
        self.seed = seed

    def _fit(self, outputs, labels, head):
        check_whole(1, k=self.k)
        features = outputs["features"]
        bank = unit_bank(features[bank_rows(len(features), self.bank_size, self.seed)])
        centre = column_means(bank).astype("float32")
        bank -= centre
        bias = -0.5 * ops.squared_norms(bank)
        self._keep(centre_=centre, bank_=bank, bias_=bias)

    def _score(self, outputs):
        rows = unit_rows(outputs["features"]) - self.centre_
        products = largest_products(rows, self.bank_, self.bias_, self.k)
        squared = ops.squared_norms(rows) - 2.0 * products[:, -1]
        return ops.sqrt(ops.maximum(squared, 0.0))
