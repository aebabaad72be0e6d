"""Rows of arrays in blocks, in bounded memory, and the means of their columns."""

import numpy as np

# Bytes of a block of rows, which a processor's cache holds.
BLOCK_BYTES = 2**20
# Rows that are added up in float32 before float64 takes over.
SUMMED_ROWS = 64


def row_blocks(*arrays, rows=None, dtype="float64"):
    """Yields the same rows of several arrays, some at a time: bounded memory.

    Args:
        arrays: arrays of one length N; None stays None.
        rows: int, rows of a block; by default as many as make 1 MiB of the widest array, and at
            least 1,024, since what is updated with each block grows with the width squared.
        dtype: of what is yielded, or None for that of the arrays.

    Yields:
        tuple of arrays (B, ...) of that type, B <= rows; integer arrays keep theirs.
    """
    arrays_there = [array for array in arrays if array is not None]
    num_rows = len(arrays_there[0])
    widest = max(array[:1].size * np.dtype(dtype or array.dtype).itemsize for array in arrays_there)
    rows = rows or max(1024, BLOCK_BYTES // max(widest, 1))
    for start in range(0, num_rows, rows):
        yield tuple(_block(array, slice(start, start + rows), dtype) for array in arrays)


def column_means(array):
    """Means of the columns of (N, D) float, in float64: (D,); not finite where a value is not."""
    total = 0.0
    with np.errstate(all="ignore"):
        for (block,) in row_blocks(array, dtype=None):
            sums = _column_sums(block)
            # Of finite values the sum can still be too large for float32.
            if not np.isfinite(sums).all():
                sums = block.sum(axis=0, dtype="float64")
            total = total + sums
    return total / max(len(array), 1)


def _column_sums(block):
    """Sums of few rows in the block's own precision, as a product; of these in float64."""
    whole = len(block) - len(block) % SUMMED_ROWS
    parts = block[:whole].reshape(-1, SUMMED_ROWS, block.shape[1])
    sums = np.matmul(np.ones(SUMMED_ROWS, block.dtype), parts).sum(axis=0, dtype="float64")
    return sums + block[whole:].sum(axis=0, dtype="float64")


def _block(array, rows, dtype):
    if array is None:
        return None
    block = np.asarray(array[rows])
    return block if dtype is None or block.dtype.kind in "iub" else block.astype(dtype, copy=False)
