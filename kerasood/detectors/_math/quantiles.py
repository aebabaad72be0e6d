"""Exact quantiles of arrays of any length, in bounded memory."""

import numpy as np

from kerasood.detectors._math.rows import row_blocks
from kerasood.errors import InvalidInputError

LOW_BITS = 16


def streamed_quantile(array, share):
    """A quantile of all values of an array, equal to that of its values in float32.

    Sorts nothing: one pass counts the upper halves of the values' bit patterns, a second one the
    lower halves of those that share the upper half of a value looked for.

    Args:
        array: (N, D) float, finite.
        share: float in [0, 1].

    Returns:
        float: linear interpolation between the two nearest order statistics, as `np.quantile`.

    Raises:
        ValueError: the share is out of range.
    """
    if not 0 <= share <= 1:
        raise InvalidInputError(f"Expected a share in [0, 1]. Received: {share}")
    position = share * (array.size - 1)
    rank = int(position)
    lower, upper = _order_statistics(array, (rank, min(rank + 1, array.size - 1)))
    return lower + (position - rank) * (upper - lower)


def _order_statistics(array, ranks):
    """The values at some places of the sorted array, exactly."""
    upper_counts = np.zeros(1 << (32 - LOW_BITS), "int64")
    for keys in _ordered_keys(array):
        upper_counts += np.bincount(keys >> LOW_BITS, minlength=len(upper_counts))
    ends = np.cumsum(upper_counts)
    uppers = np.searchsorted(ends, ranks, side="right")
    lower_counts = {upper: np.zeros(1 << LOW_BITS, "int64") for upper in uppers}
    for keys in _ordered_keys(array):
        for upper, counts in lower_counts.items():
            lowers = keys[keys >> LOW_BITS == upper] & ((1 << LOW_BITS) - 1)
            counts += np.bincount(lowers, minlength=len(counts))
    values = []
    for rank, upper in zip(ranks, uppers, strict=True):
        within = rank - (ends[upper] - upper_counts[upper])
        lower = np.searchsorted(np.cumsum(lower_counts[upper]), within, side="right")
        values.append(_value((int(upper) << LOW_BITS) | int(lower)))
    return values


def _ordered_keys(array):
    """Yields the values of some rows as uint32 that are ordered as the values are."""
    for (block,) in row_blocks(array):
        bits = np.ascontiguousarray(block, "float32").ravel().view("uint32")
        yield np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _value(key):
    bits = key ^ (1 << 31) if key >> 31 else ~key & 0xFFFFFFFF
    return float(np.array(bits, "uint32").view("float32"))
