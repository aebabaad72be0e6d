"""Outputs, scores and their comparison in a line each."""

import numpy as np


def arrays(**outputs):
    return {name: np.asarray(rows, "float32") for name, rows in outputs.items()}


def score(detector, **outputs):
    return np.asarray(detector.score(arrays(**outputs)))


def close(actual, expected, **tolerances):
    np.testing.assert_allclose(actual, expected, **({"rtol": 1e-5, "atol": 1e-6} | tolerances))
