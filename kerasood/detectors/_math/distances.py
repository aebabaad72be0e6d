"""Lengths, distances and nearest points of rows, in float32."""

from kerasood import array_ops as ops


def squared_distances(rows, points):
    """Squared Euclidean distances.

    Expanded into a product of matrices: both should be centred and of similar scale.

    Args:
        rows: (N, R) float32.
        points: (C, R) float32.

    Returns:
        (N, C) float32, at least 0.
    """
    rows_squared = ops.squared_norms(rows)[:, None]
    product = ops.matmul(rows, ops.transpose(points))
    return ops.maximum(rows_squared - 2.0 * product + ops.squared_norms(points), 0.0)


def nearest_class_distances(rows, centre, whitener, means):
    """Half the squared Mahalanobis distance to the nearest class mean: (N, D) -> (N,).

    Args:
        rows: (N, D) float32.
        centre, whitener, means: as `statistics.whitened_classes` gives them.
    """
    whitened = ops.matmul(rows - centre, whitener)
    return 0.5 * ops.min(squared_distances(whitened, means), axis=-1)


def norms(rows):
    """Euclidean length of each row: (N, D) -> (N,)."""
    return ops.sqrt(ops.squared_norms(rows))


def unit_rows(rows):
    """Rows divided by their length; rows of zeros stay zero."""
    # The shortest length keeps its square above float32's smallest normal number.
    return rows / ops.maximum(norms(rows)[:, None], 1e-18)
