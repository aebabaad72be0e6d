"""Energy, guided by the nearest training images."""

import numpy as np

from kerasood import array_ops as ops
from kerasood.detectors._math.bank import bank_rows, largest_products, unit_bank
from kerasood.detectors._math.distances import unit_rows
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register
from kerasood.errors import check_whole
from kerasood.training import objectives


@register("nnguide")
class NNGuide(Detector):
    """The energy times the mean similarity to the k most similar training images.

    -logsumexp(logits) * mean over the k largest of c_i * cos(features, features_i), with the
    confidence c_i = logsumexp(logits_i) of training image i.

    Args:
        k: int >= 1; the bank's size where that is smaller.
        bank_size: int >= 1, training images that the bank keeps, or None for all. The bank is
            stored with the detector and in exported models: 4 * D bytes per image.
        seed: int >= 0, of the draw.

    Reference:
        Park et al., "Nearest Neighbor Guidance for Out-of-Distribution Detection", ICCV 2023;
        energy as the base score, k as in its released code.
    """

    GRID = {"k": (1, 5, 10, 20, 50, 100)}

    reads = ("features", "logits")
    learns = True
    on_backend = True

    def __init__(self, k: int = 10, bank_size: int | None = 50_000, seed: int = 0):
        self.k = k
        self.bank_size = bank_size
        self.seed = seed

    def _fit(self, outputs, labels, head):
        check_whole(1, k=self.k)
        rows = bank_rows(len(outputs["features"]), self.bank_size, self.seed)
        bank = unit_bank(outputs["features"][rows])
        confidences = -objectives.energy(outputs["logits"][rows].astype("float64"))
        bank *= confidences.astype("float32")[:, None]
        self._keep(bank_=bank)

    def _score(self, outputs):
        rows = unit_rows(outputs["features"])
        bias = np.zeros(len(self.bank_), "float32")
        guidance = ops.mean(largest_products(rows, self.bank_, bias, self.k), axis=-1)
        return objectives.energy(outputs["logits"]) * guidance
