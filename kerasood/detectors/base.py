"""The contract of every detector."""

import abc

from keras import ops
from sklearn.base import BaseEstimator


class Detector(BaseEstimator, abc.ABC):
    """A scikit-learn estimator over a model's outputs; it knows no model.

    `__init__` only stores its arguments; `fit` writes attributes that end in `_` and returns the
    detector; `score` uses `keras.ops` alone, so that the same line runs on NumPy arrays, eagerly
    and inside an exported graph.
    """

    def fit(self, outputs, labels=None):
        """Learns what the detector needs from in-distribution training images.

        Args:
            outputs: {"features": (N, D), "logits": (N, K)} float32.
            labels: (N,) int in [0, K), for detectors that need classes.

        Returns:
            The detector itself.
        """
        return self

    @abc.abstractmethod
    def score(self, outputs):
        """Scores images; higher = more out-of-distribution.

        Args:
            outputs: {"features": (N, D), "logits": (N, K)} float32, arrays or tensors.

        Returns:
            (N,) float32 tensor.
        """


def logits_of(outputs):
    """The logits of `outputs` as a float32 tensor of shape (N, K)."""
    logits = ops.convert_to_tensor(outputs["logits"], dtype="float32")
    if len(logits.shape) != 2 or logits.shape[-1] < 2:
        raise ValueError(
            f"Expected logits of shape (N, K) with K >= 2. Received: shape={tuple(logits.shape)}"
        )
    return logits
