"""Softmax networks, mixed precision and nested models all the way to their exported files."""

import keras
import numpy as np
import pytest
from classifiers import backbone, functional, maps, softmax, stem
from keras import layers
from tiny_models import random_images

from kerasood.detectors import Energy
from kerasood.extractor.build import head_of
from kerasood.serving import OODModel

pytest.importorskip("tensorflow")
IMAGES = random_images((8, 8, 3), 5)


def dense_softmax(policy="float32"):
    return layers.Dense(4, "softmax", bias_initializer="uniform", dtype=policy)


def convolution_softmax():
    pooled = layers.GlobalAveragePooling2D(keepdims=True)
    return functional(*maps(), pooled, layers.Conv2D(4, 1), layers.Flatten(), layers.Softmax())


NETWORKS = {
    "mixed": lambda: functional(*stem("mixed_bfloat16"), dense_softmax("mixed_bfloat16")),
    "convolution": convolution_softmax,
    "nested": lambda: functional(functional(backbone(), name="inside"), dense_softmax()),
}


def float32_twin(network):
    """The same weights in float32 by an independent way: the configuration, rewritten."""
    twin = keras.Model.from_config(network.get_config())
    twin.set_weights(network.get_weights())
    for layer in twin._flatten_layers():
        layer.dtype_policy = "float32"
    return twin


@pytest.mark.parametrize(
    "name", ["mixed", "convolution", pytest.param("nested", marks=pytest.mark.slow)]
)
def test_a_deployed_network_answers_in_float32_wherever_it_runs(name, tmp_path):
    from kerasood.export import FORMATS, run_exported

    keras.utils.set_random_seed(0)
    network = NETWORKS[name]()
    weights, config = [w.tobytes() for w in network.get_weights()], network.to_json()
    model = OODModel(network, Energy(), -1.5)
    expected = {key: np.asarray(value) for key, value in model(IMAGES).items()}
    probabilities = np.asarray(float32_twin(network)(IMAGES))
    np.testing.assert_allclose(expected["probabilities"], probabilities, rtol=1e-5)
    np.testing.assert_allclose(softmax(expected["logits"].astype("float64")), probabilities, 1e-5)
    assert {layer.compute_dtype for layer in model.network._flatten_layers()} == {"float32"}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(head_of(loaded.network).kernel, head_of(network).kernel)
    FORMATS["saved_model"].write(model, tmp_path / "1", {})
    FORMATS["tflite"].write(model, tmp_path / "model.tflite", {})
    answers = {
        "file": loaded(IMAGES),
        "SavedModel": run_exported(tmp_path / "1", IMAGES),
        "TFLite": run_exported(tmp_path / "model.tflite", IMAGES),
    }
    for place, outputs in answers.items():
        for key, value in expected.items():
            np.testing.assert_allclose(outputs[key], value, rtol=1e-4, atol=1e-5, err_msg=place)
    assert [w.tobytes() for w in network.get_weights()] == weights
    assert network.to_json() == config
