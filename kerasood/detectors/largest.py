"""The largest activations of each row, without sorting whole rows."""

import numpy as np
from keras import ops


def kept_count(num_features, percentile):
    """How many of D activations are above a percentile, as ASH counts them; at least one.

    Args:
        num_features: int, D.
        percentile: float in [0, 100).

    Raises:
        ValueError: the percentile is out of range.
    """
    if not 0 <= percentile < 100:
        raise ValueError(f"Expected percentile in [0, 100). Received: {percentile}")
    return max(1, num_features - int(np.round(num_features * percentile / 100)))


def largest_mask(rows, count):
    """Marks exactly `count` of the largest values of each row; of equal ones the first.

    Args:
        rows: (N, D) float32.
        count: int in [1, D].

    Returns:
        (N, D) float32 of ones and zeros.
    """
    values, _ = ops.top_k(rows, count)
    smallest = values[:, -1:]
    above = ops.cast(rows > smallest, "float32")
    equal = ops.cast(ops.equal(rows, smallest), "float32")
    places = count - ops.sum(above, axis=-1, keepdims=True)
    return above + equal * ops.cast(ops.cumsum(equal, axis=-1) <= places, "float32")
