"""The space that features of training images leave unused, outside their principal space."""

import numpy as np

from kerasood import array_ops as ops
from kerasood.detectors._math.distances import norms
from kerasood.detectors._math.statistics import moments
from kerasood.errors import InvalidInputError, check_whole

# Smaller singular values of a float32 kernel, relative to its largest, are rounding.
SMALLEST_SINGULAR_VALUE = 1e-6


def principal_dimension(dim, num_features):
    """Dimension of the principal space.

    Args:
        dim: int in [0, num_features), or None for the paper's released choice: 1000 from 2048
            features on, 512 from 768 on; half of fewer, which the paper does not consider.
        num_features: int.

    Raises:
        ValueError: nothing would be left over.
    """
    if dim is None:
        wide = 1000 if num_features >= 2048 else 512
        return wide if num_features >= 768 else num_features // 2
    check_whole(0, dim=dim)
    if dim >= num_features:
        raise InvalidInputError(
            f"Expected dim from 0 to {num_features - 1}, less than the features. Received: {dim=}"
        )
    return dim


def residual_space(features, head, dim):
    """Coordinates of features outside of their principal space, around the head's own origin.

    The principal space has no direction that the features leave empty: where they span fewer than
    `dim`, as few images or features that are always zero do, it is what they span. Of empty
    directions any choice would be arbitrary. The origin is the point whose logits are nearest to
    zero. Features are projected from their
    centre and the origin's part, known in float64, is added to the projection: an origin far away
    costs little precision.

    Args:
        features: (N, D) float; one pass.
        head: (kernel (D, K), bias (K,)) float64.
        dim: int or None; see `principal_dimension`.

    Returns:
        (centre (D,), basis (D, R), shift (R,)) float64: the residual of x is
        (x - centre) @ basis + shift; R >= D - dim.
    """
    kernel, bias = head
    origin = -np.linalg.pinv(kernel.T, rcond=SMALLEST_SINGULAR_VALUE) @ bias
    fitted = moments(features)
    from_origin = fitted.mean - origin
    scatter = fitted.covariance + np.outer(from_origin, from_origin)
    squares, directions = np.linalg.eigh(scatter)
    num_features = len(squares)
    rank = np.sum(squares > squares[-1] * num_features * np.finfo("float64").eps)
    basis = directions[:, : num_features - min(principal_dimension(dim, num_features), rank)]
    return fitted.centre, basis, (fitted.centre - origin) @ basis


def residual_norms(features, centre, basis, shift):
    """Length of the residual of each row, float32: (N, D) -> (N,)."""
    return norms(ops.matmul(features - centre, basis) + shift)
