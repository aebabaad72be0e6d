"""evaluate.py on JAX and PyTorch, without TensorFlow: every detector answers as on TensorFlow."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from other_backends import BACKENDS, run_on
from tiny_data import images_of, write_npz

from kerasood.commands.evaluate import evaluate
from kerasood.config import EvaluateConfig
from kerasood.detectors import DETECTORS
from kerasood.networks.augmentation import Standardize
from kerasood.networks.saving import save_network
from kerasood.reporting import load_scores
from kerasood.runs import Run
from kerasood.training.config import stage_config, train_config


def small_network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((32, 32, 3), dtype="uint8"),
            Standardize(),
            layers.Conv2D(12, 8, strides=8, activation="relu"),
            layers.Conv2D(12, 2, strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )


@pytest.fixture(scope="module", params=BACKENDS)
def evaluated(request, tmp_path_factory):
    """(report of the process, its results folder, run, data folder)."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "data").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3)).astype("uint8")
    np.savez(folder / "data" / "svhn.npz", test_images=images)
    network = small_network()
    # Some detectors learn from what is classified correctly.
    labels = np.asarray(network(images_of(np.arange(60) % 2))).argmax(axis=1)
    write_npz(folder / "data" / "cifar10.npz", num_images=60, train_labels=labels)
    run = Run(folder / "run", stage_config(train_config(dataset="cifar10"), "pretrain"))
    run.start()
    save_network(network, run.model)
    printed = run_on(
        request.param, "evaluate_without_tensorflow.py",
        run.path, folder / "data", folder / "out",
    )
    report = json.loads(printed.splitlines()[-1]) | {"asked": request.param}
    return report, folder / "out" / "all", run, folder / "data"


def test_it_ran_there_and_without_tensorflow(evaluated):
    report = evaluated[0]
    assert report["backend"] == report["asked"] and report["tensorflow"] == []
    assert report["page"] > 10_000


def test_every_detector_scores_as_on_tensorflow(evaluated, tmp_path):
    report, elsewhere, run, data = evaluated
    config = EvaluateConfig(
        run=(str(run.path),), data_dir=str(data), download=False, cache=False, batch_size=25,
        ood=("svhn",), tune=False, out=str(tmp_path),
    )
    evaluate(config)
    # Those that this network has no outputs for.
    assert set(report["detectors"]) == set(DETECTORS) - {"g_odin", "mcd", "reject"}
    theirs, ours = load_scores(elsewhere / "scores.npz"), load_scores(tmp_path / "scores.npz")
    assert theirs.keys() == ours.keys()
    assert {name for _, name, _ in ours} == set(report["detectors"])
    for key, scores in ours.items():
        scale = np.abs(scores).max()
        np.testing.assert_allclose(theirs[key], scores, rtol=1e-3, atol=2e-4 * scale, err_msg=key)


def test_the_forward_pass_is_compiled_once_and_with_odins_step_once(evaluated):
    # Mahalanobis takes no step by default. PyTorch compiles nothing.
    assert evaluated[0]["compiled"] == (2 if evaluated[0]["asked"] == "jax" else 0)


def test_steps_are_chosen_by_gradients(evaluated):
    choices = evaluated[0]["choices"]
    assert {name: len(choice["tried"]) for name, choice in choices.items()} == {
        "odin": 40, "mahalanobis": 7
    }
    # Without a gradient all magnitudes would be one.
    assert len({tried["auroc"] for tried in choices["mahalanobis"]["tried"]}) > 1
