"""`import keras, kerasood` is all that a new process needs to read what kerasood saved."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from classifiers import functional, stem
from tiny_models import ood_model, random_images, small_network, wide_resnet

from kerasood import zoo
from kerasood.detectors import KNN, Energy
from kerasood.extractor.build import build_extractor
from kerasood.networks.decomposed_head import DeconfHead
from kerasood.training.optimizers import NesterovSGD

ROOT = pathlib.Path(__file__).parents[2]
LOAD = """
import sys
import {imports}
import numpy as np

for path in sys.argv[1:]:
    model = keras.saving.load_model(path)
    images = np.load(path.replace(".keras", ".npy"))
    answers = keras.tree.flatten(model(images))
    np.savez(path.replace(".keras", ".npz"), *map(np.asarray, answers))
"""


def decomposed():
    keras.utils.set_random_seed(0)
    return functional(*stem(), DeconfHead(4))


def compiled():
    network = small_network()
    network.compile(NesterovSGD(0.1, momentum=0.9), "mse")
    return network


def with_knn():
    network = wide_resnet()
    images = random_images((32, 32, 3))
    extractor = build_extractor(network)
    outputs = {name: np.asarray(values) for name, values in extractor(images).items()}
    return ood_model(network, KNN(2).fit(outputs))


MODELS = {
    "zoo": lambda: zoo.load(zoo.names()[0]),
    "wide_resnet": wide_resnet,
    "decomposed": decomposed,
    "compiled": compiled,
    "extractor": lambda: build_extractor(small_network()),
    "ood_model": lambda: ood_model(small_network(), Energy()),
    "ood_model_of_wide_resnet": with_knn,
}


def _image_shape(model):
    return getattr(model, "image_shape", None) or tuple(model.inputs[0].shape[1:])


@pytest.mark.parametrize("imports", ["keras, kerasood", "kerasood, keras"])
def test_a_new_process_reads_every_model(imports, tmp_path):
    expected = {}
    for name, make in MODELS.items():
        model = make()
        images = random_images(_image_shape(model))
        np.save(tmp_path / f"{name}.npy", images)
        model.save(tmp_path / f"{name}.keras")
        expected[name] = [np.asarray(answer) for answer in keras.tree.flatten(model(images))]
    paths = [str(tmp_path / f"{name}.keras") for name in MODELS]
    command = [sys.executable, "-c", LOAD.format(imports=imports), *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, answers in expected.items():
        with np.load(tmp_path / f"{name}.npz") as loaded:
            for answer, other in zip(answers, loaded.values(), strict=True):
                np.testing.assert_allclose(other, answer, rtol=1e-5, atol=1e-5)
