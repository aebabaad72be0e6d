"""Training on images that stay on the device, on JAX in a process without TensorFlow."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from kerasood.training import resident
from kerasood.training.batches import Batches

HERE = pathlib.Path(__file__).parents[1] / "helpers"
IMAGES = np.arange(5, dtype="uint8")[:, None, None, None]
LABELS = 10 + np.arange(5, dtype="int32")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """{name: array}, and the report of train_resident.py."""
    pytest.importorskip("jax")
    folder = tmp_path_factory.mktemp("resident")
    path = folder / "trained.npz"
    changes = {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        # Compiling takes longer than the few steps.
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        # Seeds and resumed runs compile the same programs.
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)]),
    }
    done = subprocess.run(
        [sys.executable, HERE / "train_resident.py", path],
        env=os.environ | changes, capture_output=True, text=True, timeout=300,
    )
    assert done.returncode == 0, done.stderr
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.fixture(scope="module")
def report(trained):
    return json.loads(str(trained["report"]))


def arrays_of(trained, name):
    return [values for key, values in trained.items() if key.startswith(f"{name}/")]


def assert_same(trained, first, second):
    pairs = list(zip(arrays_of(trained, first), arrays_of(trained, second), strict=True))
    assert pairs
    for ours, theirs in pairs:
        difference = np.linalg.norm(ours.astype("float64") - theirs)
        assert difference <= 1e-5 * np.linalg.norm(theirs)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["ce", "sparsity", "energy"])
def test_an_epoch_in_one_call_ends_where_keras_s_loop_does(trained, report, objective):
    assert report["backend"] == "jax"
    assert_same(trained, f"{objective}/scanned", f"{objective}/plain")
    ours, theirs = (report["histories"][f"{objective}/{way}"] for way in ("scanned", "plain"))
    assert [row["epoch"] for row in ours] == [1, 2, 3]
    for row, expected in zip(ours, theirs, strict=True):
        assert row == pytest.approx(expected, rel=1e-4)
        assert ("val_loss" in row) == (objective == "ce")


@pytest.mark.slow
def test_so_does_one_call_a_step(trained):
    assert_same(trained, "ce/stepped", "ce/plain")


@pytest.mark.slow
def test_the_objectives_end_apart(trained):
    pairs = zip(arrays_of(trained, "ce/plain"), arrays_of(trained, "energy/plain"), strict=False)
    assert any(ours.shape == theirs.shape and np.any(ours != theirs) for ours, theirs in pairs)


@pytest.mark.slow
def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(trained, report):
    for ours, theirs in zip(
        arrays_of(trained, "ce/resumed"), arrays_of(trained, "ce/scanned"), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert report["histories"]["ce/resumed"] == report["histories"]["ce/scanned"]


@pytest.mark.slow
def test_half_precision_trains_and_keeps_its_state_in_float32(trained, report):
    assert {str(array.dtype) for array in arrays_of(trained, "ce/half")} <= {
        "float32", "int32", "uint32",
    }
    losses, expected = (
        [row["loss"] for row in report["histories"][f"ce/{way}"]] for way in ("half", "scanned")
    )
    assert losses != expected and losses == pytest.approx(expected, rel=0.05)


@pytest.mark.slow
def test_a_loss_that_explodes_stops_training_after_the_call(report):
    assert report["diverged"].startswith("The loss became nan in epoch 1, by step 2. No epoch was")


@pytest.mark.slow
def test_images_that_do_not_fit_stay_where_they_are(report):
    assert report["too_large"] is True


@pytest.mark.slow
@pytest.mark.parametrize("seed, alone", [(1, "ce/scanned"), (2, "seed2/alone")])
def test_models_side_by_side_end_where_each_does_alone(trained, report, seed, alone):
    assert_same(trained, f"seed{seed}/together", alone)
    assert len(report["logs"]["loss"]) == 2


@pytest.mark.slow
def test_the_weight_of_a_penalty_is_no_part_of_what_is_compiled(report):
    assert report["same_program"] == {"weight": True, "site": False}


@pytest.mark.slow
def test_models_side_by_side_are_different(trained):
    first, second = (arrays_of(trained, f"seed{seed}/together") for seed in (1, 2))
    assert any(np.any(ours != theirs) for ours, theirs in zip(first, second, strict=True))


def test_a_call_holds_the_rows_of_its_steps_and_the_partial_batch_apart():
    batches = Batches(IMAGES, LABELS, 2, seed=1)
    row_calls = resident.RowCalls(batches, 3)
    calls, expected = [], []
    for epoch in (1, 2):
        row_calls.begin_epoch(epoch)
        batches.begin_epoch(epoch)
        calls.append(row_calls[0])
        expected += [batches[step] for step in range(3)]
    # Keras asks ahead.
    assert row_calls[1] == ((),)
    for number, ((full, last),) in enumerate(calls):
        assert [rows.shape for rows in (*full, *last)] == [(2, 2), (2, 2), (1, 1), (1, 1)]
        steps = [*zip(*full, strict=True), *zip(*last, strict=True)]
        for rows, batch in zip(steps, expected[3 * number :], strict=False):
            np.testing.assert_array_equal(IMAGES[rows[0]], batch[0])
            np.testing.assert_array_equal(LABELS[rows[1]], batch[1])


def test_a_call_of_one_step_holds_its_outliers_too():
    outliers = 100 + np.arange(7, dtype="uint8")[:, None, None, None]
    batches = Batches(IMAGES, LABELS, 2, 1, outliers)
    row_calls = resident.RowCalls(batches, 1)
    calls = [row_calls[step] for step in range(3)]
    expected = [batches[step] for step in range(3)]
    for ((group,),), (images, labels) in zip(calls, expected, strict=True):
        rows, label_rows = group
        np.testing.assert_array_equal(IMAGES[rows["images"][0]], images["images"])
        np.testing.assert_array_equal(outliers[rows["outliers"][0]], images["outliers"])
        np.testing.assert_array_equal(LABELS[label_rows[0]], labels)


def test_tensorflow_keeps_its_own_batches():
    assert resident.resident_arrays(Batches(IMAGES, LABELS, 2, 0)) is None
