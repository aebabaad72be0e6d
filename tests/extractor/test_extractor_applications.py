"""The networks of keras.applications, with random weights."""

import keras
import numpy as np
import pytest
from classifiers import softmax, spread

from kerasood.extractor import build_extractor, head_of, with_float_input

slow = pytest.mark.slow
CASES = [
    ("MobileNet", 32, {}),
    pytest.param("MobileNetV2", 32, {}, marks=slow),
    pytest.param("MobileNetV2", 224, {}, marks=slow),
    pytest.param("MobileNetV3Small", 32, {}, marks=slow),
    pytest.param("ResNet50", 32, {}, marks=slow),
    pytest.param("ResNet50", 64, {"classifier_activation": None}, marks=slow),
    pytest.param("EfficientNetB0", 64, {}, marks=slow),
    pytest.param("VGG16", 32, {}, marks=slow),
    pytest.param("DenseNet121", 32, {}, marks=slow),
    pytest.param("ConvNeXtTiny", 32, {}, marks=slow),
]


@pytest.mark.parametrize(("name", "size", "arguments"), CASES)
@pytest.mark.parametrize("nested", [False, pytest.param(True, marks=slow)])
def test_logits_features_and_stages_of_known_networks(name, size, arguments, nested):
    keras.utils.set_random_seed(0)
    network = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=10, **arguments
    )
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3)).astype("float32")
    spread(network, images)
    if nested:
        pixels = keras.Input((size, size, 3), dtype="uint8")
        network = keras.Model(pixels, network(keras.layers.Rescaling(1.0)(pixels)))
    weights, config = [w.tobytes() for w in network.get_weights()], network.to_json()
    answers = np.asarray(network(images))
    extractor = build_extractor(network, hidden_layers="auto")
    outputs = {key: np.asarray(value) for key, value in extractor(images).items()}
    twin = head_of(extractor).logits(outputs["features"].astype("float64"))
    np.testing.assert_allclose(outputs["logits"], twin, rtol=1e-5, atol=1e-4)
    assert np.ptp(twin) > 1
    expected = twin if arguments else softmax(twin)
    np.testing.assert_allclose(answers, expected, rtol=1e-3, atol=1e-5)
    assert 2 <= sum(key.startswith("hidden/") for key in outputs) <= 4
    assert (with_float_input(extractor) is extractor) == (not nested)
    assert [w.tobytes() for w in network.get_weights()] == weights
    assert network.to_json() == config
    assert np.asarray(network(images)).tobytes() == answers.tobytes()
