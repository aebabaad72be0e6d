"""One epoch ends at the same weights on TensorFlow and on JAX."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from train_one_epoch import OBJECTIVES, new_network, trained_weights

pytest.importorskip("jax")
HERE = pathlib.Path(__file__).parents[1] / "helpers"
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def initial():
    keras.utils.set_random_seed(3)
    return new_network().get_weights()


@pytest.fixture(scope="module")
def on_jax(initial, tmp_path_factory):
    """{objective: weights} of a process without TensorFlow."""
    folder = tmp_path_factory.mktemp("jax")
    np.savez(folder / "initial.npz", *initial)
    changes = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(HERE.parents[1])}
    # Compiling takes longer than the steps.
    changes["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    done = subprocess.run(
        [sys.executable, HERE / "train_one_epoch.py", folder / "initial.npz", folder],
        env=os.environ | changes, capture_output=True, text=True, timeout=300,
    )
    assert done.returncode == 0, done.stderr
    results = {}
    for name in OBJECTIVES:
        with np.load(folder / f"{name}-jax.npz") as stored:
            results[name] = [stored[key] for key in stored.files]
    return results


def largest_difference(ours, theirs):
    """Over the arrays: norm of the difference / norm of the array."""
    return max(
        np.linalg.norm(first - second) / np.linalg.norm(second)
        for first, second in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_epoch_ends_at_the_same_weights(initial, on_jax, name):
    ours = trained_weights(name, initial)
    assert largest_difference(ours, on_jax[name]) <= TOLERANCE
    assert largest_difference(initial, on_jax[name]) > 0.1


def test_without_weight_decay_it_ends_elsewhere(initial, on_jax):
    ours = trained_weights("ce", initial, weight_decay=0.0)
    assert largest_difference(ours, on_jax["ce"]) > 2 * TOLERANCE
