"""Distances between rows and a few reference points, in float32 and `keras.ops`."""

from keras import ops


def squared_distances(rows, points):
    """Squared Euclidean distances.

    Expanded into a product of matrices: both should be centred and of similar scale.

    Args:
        rows: (N, R) float32.
        points: (C, R) float32.

    Returns:
        (N, C) float32, at least 0.
    """
    rows_squared = ops.sum(ops.square(rows), axis=-1, keepdims=True)
    points_squared = ops.sum(ops.square(points), axis=-1)
    product = ops.matmul(rows, ops.transpose(points))
    return ops.maximum(rows_squared - 2.0 * product + points_squared, 0.0)
