"""Weibull distributions fitted to the tails of samples, by maximum likelihood in float64."""

import numpy as np
from scipy.optimize import brentq

# A tail of equal values has no finite shape; from here on it is as good as a step.
LARGEST_SHAPE = 1000.0


def fit_weibull(values):
    """Shape and scale of the two-parameter Weibull distribution that fits best.

    The shape c solves mean(x^c log x) / mean(x^c) - 1 / c = mean(log x), whose left side grows with
    c; then scale^c = mean(x^c).

    Args:
        values: (N,) float64, > 0, N >= 1.

    Returns:
        (shape, scale), the shape at most 1000.
    """
    logs = np.log(values)
    excess = logs - logs.max()

    def surplus(shape):
        weights = np.exp(shape * excess)
        return weights @ excess / weights.sum() - 1 / shape - excess.mean()

    shape = LARGEST_SHAPE
    if surplus(LARGEST_SHAPE) > 0:
        shape = brentq(surplus, 1e-6, LARGEST_SHAPE, xtol=1e-12, rtol=1e-14)
    log_scale = logs.max() + np.log(np.mean(np.exp(shape * excess))) / shape
    return shape, np.exp(log_scale)
