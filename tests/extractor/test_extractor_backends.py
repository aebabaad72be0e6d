"""Extractors on JAX and PyTorch, in a process without TensorFlow."""

import json

import numpy as np
import pytest
from classifiers import softmax
from other_backends import BACKENDS, run_on

from kerasood.networks import zoo


@pytest.fixture(scope="module", params=BACKENDS)
def report(request):
    printed = json.loads(run_on(request.param, "extract_without_tensorflow.py").splitlines()[-1])
    return printed | {"asked": request.param}


@pytest.mark.parametrize("kind", ["nested", "subclassed"])
def test_extractors_on_another_backend(report, kind):
    assert report["backend"] == report["asked"]
    found = report[kind]
    assert np.ptp(found["twin"]) > 0.1
    for way in ("eager", "predict_on_batch", "jit", "collect"):
        np.testing.assert_allclose(found[way], found["twin"], rtol=1e-4, atol=1e-5, err_msg=way)
    np.testing.assert_allclose(found["stepped_collect"], found["stepped"], rtol=1e-4, atol=1e-5)
    assert np.abs(np.subtract(found["stepped"], found["twin"])).max() > 1e-3
    np.testing.assert_allclose(found["answers"], softmax(np.array(found["twin"])), rtol=1e-4)
    assert found["hidden"] == [4, 4 if kind == "nested" else 6]
    assert abs(found["gradient"]) > 1e-4
    assert found["gradient"] == pytest.approx(found["difference"], rel=0.02, abs=2e-6)
    assert found["untouched"]


def test_a_network_of_the_zoo_on_another_backend(report):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("uint8")
    expected = zoo.load("cifar10-wrn10-1-base")(np.resize(images, (2, 32, 32, 3)))
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(report["zoo"], expected, rtol=1e-4, atol=1e-4)
