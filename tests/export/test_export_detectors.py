"""Every detector inside every format, compared number by number."""

import keras
import numpy as np
import pytest
from detector_twins_logits import EXAMPLE_PARAMETERS
from keras import layers
from tiny_models import ood_model, random_images

from kerasood import export
from kerasood.detectors import DETECTORS
from kerasood.evaluation.outputs import collect

SHAPE, NUM_CLASSES = (8, 8, 3), 4
BLACK, WHITE = np.zeros(SHAPE, np.uint8), np.full(SHAPE, 255, np.uint8)
HALVES = np.where(np.arange(8)[:, None, None] < 4, BLACK, WHITE)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def extractor():
    """A small network with every output that some detector reads."""
    keras.utils.set_random_seed(3)
    images = keras.Input(SHAPE, dtype="uint8", name="images")
    x = layers.Rescaling(1 / 64, offset=-2)(images)
    x = layers.Conv2D(6, 3, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    hidden = layers.GlobalAveragePooling2D()(x)
    features = layers.Dense(8, activation="relu", name="features")(layers.Flatten()(x))
    return keras.Model(
        images,
        {
            "features": features,
            "hidden/1": hidden,
            "logits": layers.Dense(NUM_CLASSES, name="logits")(features),
            "logits_2": layers.Dense(NUM_CLASSES)(features),
            "reject_logits": layers.Dense(2)(features),
            "numerators": layers.Dense(NUM_CLASSES)(features),
            "divisor": layers.Dense(1, activation="sigmoid")(features),
        },
    )


@pytest.fixture(scope="module")
def training(extractor):
    """Outputs of training images, their classes, and the head: what `fit` takes."""
    generator = np.random.default_rng(5)
    images = generator.integers(0, 256, (400, *SHAPE), dtype=np.uint8)
    outputs = collect(extractor, [images])
    labels = outputs["logits"].argmax(axis=1)
    # Every class in turn where the network predicts only some.
    labels[:: 2 * NUM_CLASSES] = np.arange(len(labels[:: 2 * NUM_CLASSES])) % NUM_CLASSES
    return outputs, labels, extractor.get_layer("logits").get_weights()


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_answers_alike_in_every_format(name, extractor, training, tmp_path):
    detector = DETECTORS[name](**EXAMPLE_PARAMETERS.get(name, {})).fit(*training)
    model = ood_model(extractor, detector)
    images = random_images(SHAPE)
    result = export.export_model(model, tmp_path, images=images)
    assert bool(result.left_out) == bool(detector.input_step), result.left_out
    assert result.paths.keys() | result.left_out.keys() == set(export.available_formats())
    expected = export.eager_outputs(model, images)
    assert np.ptp(expected["score"]) > 1e-6
    for kind, path in result.paths.items():
        outputs = export.FORMATS[kind].run(path, images)
        for key in ("score", "logits", "energy"):
            scale = np.maximum(np.abs(expected[key]), 1)
            assert np.max(np.abs(outputs[key] - expected[key]) / scale) < 1e-4, kind
        np.testing.assert_array_equal(outputs["is_ood"], expected["is_ood"], err_msg=kind)
        # JSON has neither NaN nor infinity.
        for key, output in export.FORMATS[kind].run(path, np.stack([BLACK, WHITE, HALVES])).items():
            assert np.all(np.isfinite(output)), (kind, key)
    if detector.input_step:
        assert "without a step on the image for TFLite" in result.left_out["tflite"]
