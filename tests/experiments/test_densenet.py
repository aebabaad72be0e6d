"""A published DenseNet-BC as a Keras network: its accuracy and what detectors say of it.

The weights are not the project's: skipped where they, or the real images, are not at hand.
"""

import os
import pathlib

import numpy as np
import pytest
from tiny_models import random_images

from experiments import published
from experiments.densenet import AXES, TORCH_NAMES, densenet_bc, published_network
from kerasood.data.open import availability
from kerasood.data.options import DataOptions
from kerasood.errors import InvalidInputError

HERE = pathlib.Path(__file__).resolve()
FOREIGN = pathlib.Path(
    os.environ.get("KERASOOD_FOREIGN_DIR", HERE.parents[3] / "shared" / "data" / "foreign")
)
SETS = ("svhn", "textures", "places365")
# Images that the figures below were measured on: SVHN 7,136, Textures 1,200, Places365 5,000.
COUNTS = {"svhn": 7136, "textures": 1200, "places365": 5000}
ACCURACY = {"cifar10": 0.9454, "cifar100": 0.7506}
# FPR95 and AUROC in percent, measured with the published scoring code on PyTorch.
MEASURED = {
    "cifar10": {
        "energy": ((38.3, 94.29), (54.8, 87.47), (37.4, 92.80)),
        "msp": ((47.3, 93.65), (63.7, 88.7), (61.5, 89.4)),
        "dice": ((27.4, 94.99), (44.3, 88.27), (42.2, 91.31)),
        "react": ((97.2, 66.33), (91.3, 69.43), (68.2, 83.48)),
        "ash_s": ((5.9, 98.77), (25.1, 95.33), (48.3, 88.93)),
        "vim": ((8.5, 98.48), (22.3, 95.65), (47.7, 90.63)),
        "knn": ((3.5, 99.32), (20.6, 96.03), (46.1, 90.41)),
    },
    "cifar100": {
        "energy": ((88.1, 81.11), (82.9, 72.96), (76.8, 79.71)),
        "msp": ((82.5, 74.82), (85.8, 71.9), (81.9, 75.72)),
        "dice": ((59.8, 88.27), (61.3, 78.52), (79.2, 78.46)),
        "react": ((94.2, 73.84), (84.8, 72.21), (87.2, 69.21)),
        "ash_s": ((24.6, 95.77), (37.2, 91.89), (86.0, 72.51)),
        "vim": ((35.8, 93.53), (23.7, 95.13), (82.0, 77.36)),
        "knn": ((18.8, 96.32), (28.8, 92.37), (93.3, 60.42)),
    },
}


@pytest.fixture(scope="module", params=list(MEASURED))
def measured(request):
    """(data set, results of the detectors of MEASURED on its published network)."""
    dataset = request.param
    weights = FOREIGN / f"densenet-bc-100-12-{dataset}.npz"
    if not weights.is_file():
        pytest.skip("the published weights are not at hand")
    options = DataOptions(download=False)
    if any(availability(name, "test", options) for name in (dataset, *SETS)):
        pytest.skip("the real images are not at hand: name their folder in $KERASOOD_DATA_DIR")
    config = published.PublishedConfig(dataset=dataset, detectors=tuple(MEASURED[dataset]))
    return dataset, published.benchmark(published_network(weights), config).results


@pytest.mark.slow
def test_its_accuracy_is_the_published_one(measured):
    dataset, results = measured
    assert results.models[0]["accuracy"] == pytest.approx(ACCURACY[dataset], abs=2e-4)


@pytest.mark.slow
def test_detectors_tell_images_apart_as_the_published_code_does(measured):
    dataset, results = measured
    counts = {entry["name"]: entry["num_images"] for entry in results.sets}
    if counts != COUNTS:
        pytest.skip(f"measured on other subsets: {counts}")
    for entry in results.metrics:
        fpr95, auroc = MEASURED[dataset][entry["detector"]][SETS.index(entry["set"])]
        where = f"{entry['detector']} on {entry['set']}"
        assert 100 * entry["fpr95"]["mean"] == pytest.approx(fpr95, abs=0.25), where
        assert 100 * entry["auroc"]["mean"] == pytest.approx(auroc, abs=0.06), where


def state_of(network):
    """The state dict that `published_network` reads, of a network's own weights."""
    return {
        f"{layer.name.replace('_', '.')}.{TORCH_NAMES[weight.name]}": np.transpose(
            weight.numpy(), np.argsort(AXES[len(weight.shape)])
        )
        for layer in network.layers
        for weight in layer.weights
    }


def test_arrays_of_a_state_dict_come_back_and_others_are_refused(tmp_path):
    network = densenet_bc(3)
    state = state_of(network)
    assert state["block1.layer.0.conv2.weight"].shape == (12, 48, 3, 3)
    np.savez(tmp_path / "whole.npz", **state)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    again = published_network(tmp_path / "whole.npz")
    np.testing.assert_allclose(again(images), network(images), rtol=1e-5)
    assert again.get_layer("features").output.shape == (None, 342)
    state.pop("trans2.conv1.weight")
    np.savez(tmp_path / "part.npz", **state)
    with pytest.raises(InvalidInputError, match="Received: .*trans2.conv1.weight"):
        published_network(tmp_path / "part.npz")


def test_the_command_prints_and_keeps_what_it_measured(tmp_path, capsys):
    """On a small network and random images: the command as a whole."""
    images, labels = random_images((32, 32, 3), 40), np.arange(40) % 10
    for name in ("cifar10", "svhn"):
        np.savez(
            tmp_path / f"{name}.npz",
            x_train=images, y_train=labels, x_test=images[::-1], y_test=labels[::-1],
        )
    np.savez(tmp_path / "weights.npz", **state_of(densenet_bc(10)))
    published.main(
        published.PublishedConfig(
            weights=str(tmp_path / "weights.npz"), detectors=("energy",), ood=("svhn",),
            data_dir=str(tmp_path), out=str(tmp_path / "out"),
        )
    )
    assert "| energy | " in capsys.readouterr().out
    assert {"published.keras", "report.html", "results.json"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }


def test_the_comparison_puts_published_numbers_in_brackets():
    metrics = [
        {"detector": name, "set": "svhn", "fpr95": {"mean": 0.25}, "auroc": {"mean": 0.9}}
        for name in ("energy", "msp")
    ]
    assert published.comparison(metrics, "cifar10").splitlines() == [
        "| detector | svhn |",
        "|---|---|",
        "| energy | 25.00 / 90.00 (38.71 / 94.19) |",
        "| msp | 25.00 / 90.00 |",
    ]
