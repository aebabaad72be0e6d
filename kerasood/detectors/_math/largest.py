"""The largest activations of each row, without sorting whole rows."""

import numpy as np
from keras import ops

from kerasood.errors import InvalidInputError


def kept_count(num_features, percentile):
    """Number of D activations above a percentile, as ASH counts them; at least one.

    Args:
        num_features: int, D.
        percentile: float in [0, 100).

    Raises:
        ValueError: the percentile is out of range.
    """
    if not 0 <= percentile < 100:
        raise InvalidInputError(f"Expected percentile in [0, 100). Received: {percentile}")
    return max(1, num_features - int(np.round(num_features * percentile / 100)))


def largest_values(rows, count):
    """The `count` largest values of each row, in any order: (N, D) -> (N, count)."""
    if isinstance(rows, np.ndarray):
        return np.partition(rows, -count, axis=-1)[:, -count:]
    values, _ = ops.top_k(rows, count, sorted=False)
    return values


def largest_mask(rows, count):
    """Marks exactly `count` of the largest values of each row; of equal ones the first.

    Args:
        rows: (N, D) float32.
        count: int in [1, D].

    Returns:
        (mask (N, D) bool, values (N, count) float32): the marked values, in any order.
    """
    if isinstance(rows, np.ndarray):
        return _array_mask(rows, count)
    values, columns = ops.top_k(rows, count, sorted=False)
    smallest = ops.min(values, axis=-1, keepdims=True)
    # Of equal values top_k takes the first: those marked end at the last column that it took.
    last = ops.max(ops.where(ops.equal(values, smallest), columns, -1), axis=-1, keepdims=True)
    first = ops.arange(rows.shape[-1], dtype="int32") <= last
    mask = ops.logical_or(rows > smallest, ops.logical_and(ops.equal(rows, smallest), first))
    return mask, values


def _array_mask(rows, count):
    values = largest_values(rows, count)
    smallest = values[:, :1]  # where it was partitioned
    mask = rows >= smallest
    ties = np.flatnonzero(np.count_nonzero(mask, axis=-1) > count)
    equal = rows[ties] == smallest[ties]
    unfilled = count - np.count_nonzero(rows[ties] > smallest[ties], axis=-1)
    mask[ties] &= ~equal | (np.cumsum(equal, axis=-1) <= unfilled[:, None])
    return mask, values
