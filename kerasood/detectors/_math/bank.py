"""A bank of training features on the unit sphere, and its points that are nearest to a row."""

import numpy as np
from keras import ops

from kerasood.detectors._math.distances import unit_rows
from kerasood.detectors._math.rows import row_blocks
from kerasood.errors import check_whole, check_whole_or_none

# Products of rows and points that are in memory at one time: 64 MiB.
PRODUCTS = 2**24
POINTS = 2**16


def bank_rows(num_images, bank_size, seed):
    """Rows of the images that the bank takes.

    Args:
        num_images: int.
        bank_size: int >= 1, or None for all.
        seed: int >= 0.

    Returns:
        slice of all, or (bank_size,) int, sorted, drawn without replacement.

    Raises:
        ValueError: the size is no int >= 1, or the seed none >= 0.
    """
    check_whole_or_none(1, bank_size=bank_size)
    check_whole(0, seed=seed)
    if bank_size is None or bank_size >= num_images:
        return slice(None)
    return np.sort(np.random.default_rng(seed).choice(num_images, bank_size, replace=False))


def unit_bank(features):
    """Features divided by their length: (M, D) float32; rows of zeros stay zero."""
    bank = np.empty(features.shape, "float32")
    start = 0
    for (block,) in row_blocks(features, dtype="float32"):
        bank[start : start + len(block)] = unit_rows(block)
        start += len(block)
    return bank


def largest_products(rows, points, bias, k):
    """The k largest of rows @ points.T + bias, exact, in blocks of rows and points.

    Where the number of rows is not known, in an exported graph, the points alone are in blocks.

    Args:
        rows: (N, D) float32.
        points: (M, D) float32.
        bias: (M,) float32.
        k: int >= 1.

    Returns:
        (N, min(k, M)) float32, in falling order.
    """
    # Once, not for every block of rows: the bank is the larger part.
    blocks = [
        (ops.transpose(points[start : start + POINTS]), bias[start : start + POINTS])
        for start in range(0, len(points), POINTS)
    ]
    num_rows = rows.shape[0]
    step = max(1, PRODUCTS // min(len(points), POINTS))
    if num_rows is None or num_rows <= step:
        return _largest(rows, blocks, k)
    parts = [_largest(rows[start : start + step], blocks, k) for start in range(0, num_rows, step)]
    return ops.concatenate(parts, axis=0)


def _largest(rows, blocks, k):
    best = None
    for points, bias in blocks:
        largest = _top(ops.matmul(rows, points) + bias, k)
        if best is not None:
            largest = _top(ops.concatenate([best, largest], axis=-1), k)
        best = largest
    return best


def _top(values, k):
    return ops.top_k(values, min(k, values.shape[1]))[0]
