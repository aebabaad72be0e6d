"""Detectors that a model cannot have, and models whose logits are none."""

import logging

import keras
import numpy as np
import pytest
from keras import layers
from tiny_models import random_images, small_network

import kerasood

IMAGES, LABELS = random_images((8, 8, 3), 60), np.arange(60) % 4
NOISE = {"noise": IMAGES[:9]}


def looked_up():
    """A classifier that looks its pixels up in a table: no gradient reaches them."""
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3), dtype="uint8")
    x = layers.Embedding(256, 2)(layers.Reshape((192,))(images))
    return keras.Model(images, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))


def test_a_step_on_the_image_needs_a_gradient(caplog):
    data = {"train": (IMAGES, LABELS), "test": (IMAGES, LABELS)}
    with pytest.raises(ValueError, match="a gradient reaches the pixels"):
        kerasood.benchmark(looked_up(), data, NOISE, "odin", tpr=0.8)
    with caplog.at_level(logging.WARNING):
        found = kerasood.benchmark(looked_up(), data, NOISE, "all", tpr=0.8).results
    assert "odin is left out of model" in caplog.text
    assert "odin" not in found.detectors and {"energy", "knn"} <= set(found.detectors)


@pytest.mark.parametrize("detectors", ["all", "auto"])
def test_a_detector_that_cannot_be_fitted_is_left_out_of_all(caplog, detectors):
    data = {"train": (IMAGES[:4], LABELS[:4]), "test": (IMAGES, LABELS)}
    with pytest.raises(ValueError, match="more than one image of a class"):
        kerasood.benchmark(small_network(), data, NOISE, "mahalanobis", tpr=0.8)
    with caplog.at_level(logging.WARNING):
        found = kerasood.benchmark(small_network(), data, NOISE, detectors, tpr=0.8).results
    assert "mahalanobis is left out" in caplog.text
    assert "mahalanobis" not in found.detectors and "energy" in found.detectors


def test_probabilities_are_not_measured_as_logits():
    images = keras.Input((8, 8, 3))
    features = layers.GlobalAveragePooling2D()(images)
    softmax = layers.Dense(4, activation="softmax", name="head")(features)
    own = keras.Model(images, {"features": features, "logits": softmax})
    with pytest.raises(ValueError, match="the softmax of layer 'head'"):
        kerasood.benchmark(own, {"test": (IMAGES, LABELS)}, NOISE, "energy", tpr=0.8)
