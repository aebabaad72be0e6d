"""Heads that are no plain Dense: affine in the features all the same, or in their directions."""

import numpy as np
from keras import layers, ops

NUM_PROBES = 8


def affine_weights(function, width, of_directions=False):
    """The weights of a function that is affine, told by its values at unit and random vectors.

    Args:
        function: (N, D) float32 -> (N, K).
        width: int, D.
        of_directions: whether it is to be affine in x / |x|, as a cosine head is, and not in x.

    Returns:
        (kernel (D, K), bias (K,)) float32; None where no weights give the function's values.
    """
    generator = np.random.default_rng(0)
    probes = generator.normal(size=(NUM_PROBES, width)) * np.geomspace(0.3, 3, NUM_PROBES)[:, None]
    units = np.eye(width)
    # A direction has no zero: the bias lies between two opposite ones.
    origin = -units[:1] if of_directions else np.zeros((1, width))
    asked = np.concatenate([units, origin, probes]).astype("float32")
    answers = ops.convert_to_numpy(ops.cast(function(asked), "float32")).astype("float64")
    if not np.all(np.isfinite(answers)):
        return None
    at_units, at_origin, found = np.split(answers, [width, width + 1])
    bias = (at_units[0] + at_origin[0]) / 2 if of_directions else at_origin[0]
    kernel = at_units - bias
    if of_directions:
        probes = probes / np.linalg.norm(probes, axis=-1, keepdims=True)
    expected = probes @ kernel + bias
    tolerance = 1e-4 * (np.abs(probes) @ np.abs(kernel) + np.abs(bias) + 1e-6)
    if np.any(np.abs(found - expected) > tolerance):
        return None
    return kernel.astype("float32"), bias.astype("float32")


def directions(vectors):
    """The directions (N, D) of feature tensors in a graph."""
    return layers.UnitNormalization(dtype="float32", name="kerasood_directions")(vectors)
