"""Which signatures a network gets."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tf_serving import raw_model
from tiny_models import ood_model, random_images, small_network

from kerasood.detectors import Energy
from kerasood.export import export_model
from kerasood.export.checks.requests import as_inputs
from kerasood.export.graph.endpoints import build_endpoints, short_answer
from kerasood.serving import OODModel


def pooling_network(height, width):
    keras.utils.set_random_seed(0)
    images = keras.Input((height, width, 3), dtype="uint8", name="images")
    x = keras.layers.Rescaling(1 / 64, offset=-2)(images)
    x = keras.layers.Conv2D(4, 3, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(2)(x))


@pytest.mark.parametrize("size", [(8, 9), (None, None), (8, None)])
def test_files_need_fixed_squares(size):
    model = OODModel(pooling_network(*size), Energy(), 0.0)
    assert list(build_endpoints(model)) == ["serving_default", "classify"]


def test_squares_get_all_signatures_and_as_many_labels_as_classes():
    model = ood_model(small_network(), Energy())
    endpoints = build_endpoints(model, list("abcd"))
    assert {name: spec.name for name, (_, spec) in endpoints.items()} == {
        "serving_default": "images",
        "classify": "images",
        "serving_bytes": "image_bytes",
        "classify_bytes": "image_bytes",
    }
    with pytest.raises(ValueError, match="a list of 4 class names .*Received: .*'a', 'b', 'c'"):
        build_endpoints(model, list("abc"))


@pytest.mark.parametrize("channels", [1, 3])
def test_requests_by_files_hold_the_pixels(channels):
    images = random_images((5, 7, channels), 3)
    _, spec = build_endpoints(ood_model(small_network(), Energy()))["serving_bytes"]
    asked = as_inputs(SimpleNamespace(inputs={spec.name: spec}), images, [b"none"])["image_bytes"]
    assert asked[3] == b"none"
    for file, image in zip(asked[:3], images, strict=True):
        pixels = tf.io.decode_png(file, channels=channels)
        np.testing.assert_array_equal(pixels, image)


def test_short_answer_by_hand():
    outputs = {
        "logits": tf.constant([[1.0, 3.0, 2.0], [5.0, 0.0, 5.0]]),
        "probabilities": tf.constant([[0.1, 0.7, 0.2], [0.45, 0.1, 0.45]]),
        "score": tf.constant([-1.0, 2.0]),
        "is_ood": tf.constant([False, True]),
        "energy": tf.constant([0.0, 0.0]),
    }
    answer = short_answer(outputs, ["cat", "dog", "frösch"])
    assert answer.keys() == {"label", "probability", "score", "is_ood"}
    assert [label.decode() for label in answer["label"].numpy()] == ["dog", "cat"]
    np.testing.assert_allclose(answer["probability"], [0.7, 0.45])
    assert answer["is_ood"].numpy().tolist() == [False, True]


def test_a_network_for_any_size_is_exported_and_answers_every_size(tmp_path):
    model = OODModel(pooling_network(None, None), Energy(), 0.0)
    images = np.random.default_rng(0).integers(0, 256, (4, 10, 12, 3), dtype=np.uint8)
    exported = export_model(model, tmp_path, images=images, formats=["saved_model"])
    with raw_model(exported.folder) as served:
        assert sorted(served.calls) == ["classify", "serving_default"]
        assert served.run({"images": images}, "classify")["label"].tolist()[0] in (b"0", b"1")
        assert len(served.run({"images": images[:, :8, :8]})["score"]) == 4
        with pytest.raises(tf.errors.InvalidArgumentError, match="shape"):
            served.run({"images": images[..., :1]})
