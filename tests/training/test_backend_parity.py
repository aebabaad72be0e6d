"""One epoch ends at the same weights on TensorFlow, JAX and PyTorch."""

import keras
import numpy as np
import pytest
from other_backends import BACKENDS, run_on
from train_one_epoch import OBJECTIVES, new_network, trained_weights

TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def initial():
    keras.utils.set_random_seed(3)
    return new_network().get_weights()


@pytest.fixture(scope="module", params=BACKENDS)
def elsewhere(request, initial, tmp_path_factory):
    """{objective: weights} of a process on another backend."""
    folder = tmp_path_factory.mktemp(request.param)
    np.savez(folder / "initial.npz", *initial)
    run_on(request.param, "train_one_epoch.py", folder / "initial.npz", folder)
    results = {}
    for name in OBJECTIVES:
        with np.load(folder / f"{name}-{request.param}.npz") as stored:
            results[name] = [stored[key] for key in stored.files]
    return results


def largest_difference(ours, theirs):
    """Over the arrays: norm of the difference / norm of the array."""
    return max(
        np.linalg.norm(first - second) / np.linalg.norm(second)
        for first, second in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_epoch_ends_at_the_same_weights(initial, elsewhere, name):
    ours = trained_weights(name, initial)
    assert largest_difference(ours, elsewhere[name]) <= TOLERANCE
    assert largest_difference(initial, elsewhere[name]) > 0.1


def test_without_weight_decay_it_ends_elsewhere(initial, elsewhere):
    ours = trained_weights("ce", initial, weight_decay=0.0)
    assert largest_difference(ours, elsewhere["ce"]) > 2 * TOLERANCE
