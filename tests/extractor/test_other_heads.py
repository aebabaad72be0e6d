"""Heads that are no plain Dense, and models that give no single answer."""

import keras
import numpy as np
import pytest
from classifiers import functional
from keras import layers, ops
from tiny_models import random_images

from kerasood.extractor import build_extractor, head_of
from kerasood.extractor.affine import affine_weights

IMAGES = random_images((8, 8, 3), 20)


@keras.saving.register_keras_serializable(package="kerasood_tests")
class Temperature(layers.Layer):
    def build(self, shape):
        self.temperature = self.add_weight(shape=(), initializer=lambda *a, **k: ops.array(2.5))

    def call(self, logits):
        return logits / self.temperature


@keras.saving.register_keras_serializable(package="kerasood_tests")
class Cosine(layers.Layer):
    """8 times the cosine of the angle to a vector for each of four classes."""

    def build(self, shape):
        self.vectors = self.add_weight(shape=(shape[-1], 4), initializer="random_normal")

    def call(self, features):
        return 8 * ops.normalize(features, axis=-1) @ ops.normalize(self.vectors, axis=0)


@keras.saving.register_keras_serializable(package="kerasood_tests")
class OwnDense(layers.Layer):
    def build(self, shape):
        self.matrix = self.add_weight(shape=(4, shape[-1]), initializer="random_normal")

    def call(self, features):
        return features @ ops.transpose(self.matrix) + 1


@keras.saving.register_keras_serializable(package="kerasood_tests")
class AlwaysDropout(layers.Dropout):
    def call(self, inputs, training=None):
        return super().call(inputs, training=True)


def normalisation():
    layer = layers.BatchNormalization()
    layer.build((None, 4))
    layer.set_weights([np.array(values, "float32") for values in (
        [1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4], [1, -1, 2, -2], [0.5, 1, 2, 4],
    )])
    return layer


def ending_in(*ending):
    keras.utils.set_random_seed(0)
    conv = layers.Conv2D(6, 3, activation="relu")
    return functional(layers.Rescaling(1 / 64, offset=-2), conv, layers.Flatten(), *ending)


HEADS = {
    "divided by a temperature": lambda: (layers.Dense(4), lambda x: x / 2.5),
    "times a number": lambda: (layers.Dense(4), lambda x: 3.0 * x),
    "a layer that rescales": lambda: (layers.Dense(4), layers.Rescaling(0.3)),
    "a layer of one's own": lambda: (layers.Dense(4), Temperature()),
    "batch normalisation": lambda: (layers.Dense(4), normalisation()),
    "all of them": lambda: (layers.Dense(4), normalisation(), layers.Dropout(0.5), Temperature()),
    "cosine": lambda: (Cosine(),),
    "cosine and temperature": lambda: (Cosine(), lambda x: x / 0.05),
    "a matrix of one's own": lambda: (OwnDense(),),
    "directions and a Dense": lambda: (layers.UnitNormalization(), layers.Dense(4)),
}


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_what_is_affine_in_the_features_is_a_head(name, softmax):
    network = ending_in(*HEADS[name](), *([layers.Softmax()] if softmax else []))
    extractor = build_extractor(network)
    outputs = extractor.predict(IMAGES, verbose=0)
    logits, predicted = outputs["logits"], network.predict(IMAGES.astype("float32"), verbose=0)
    if softmax:
        logits = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(logits, predicted, rtol=1e-4, atol=1e-5)
    for model in (network, extractor):
        twin = head_of(model).logits(outputs["features"])
        np.testing.assert_allclose(twin, outputs["logits"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "ending",
    [lambda: lambda x: 1 / x, lambda: ops.square, layers.ReLU, layers.UnitNormalization],
)
def test_what_is_not_affine_is_refused(ending):
    network = ending_in(layers.Dense(4), ending())
    with pytest.raises(ValueError, match="reshaping and what is affine after it. Received"):
        build_extractor(network)


def test_weights_are_told_by_values():
    # (x, y) -> 2 x + 3 y + 1
    kernel, bias = affine_weights(lambda v: v @ np.array([[2.0], [3.0]], "float32") + 1, 2)
    np.testing.assert_allclose(kernel, [[2], [3]], atol=1e-5)
    np.testing.assert_allclose(bias, [1], atol=1e-6)
    assert affine_weights(lambda v: np.maximum(v, 0), 2) is None
    norm = lambda v: np.linalg.norm(v, axis=-1, keepdims=True)  # noqa: E731
    kernel, bias = affine_weights(lambda v: v / norm(v) @ np.float32([[2], [3]]) + 1, 2, True)
    np.testing.assert_allclose([*kernel[:, 0], *bias], [2, 3, 1], atol=1e-5)
    assert affine_weights(lambda v: v, 2, True) is None


def test_an_int8_head_is_named():
    network = ending_in(layers.Dense(4, name="classes"))
    network.layers[-1].quantize("int8")
    with pytest.raises(ValueError, match=r"before quantize\(\).* Received: 'classes' in int8"):
        build_extractor(network)


class OwnCall(keras.Model):
    def __init__(self):
        super().__init__()
        self.flatten, self.dropout = layers.Flatten(), layers.Dropout(0.5)
        self.head = layers.Dense(4)

    def call(self, images):
        return self.head(self.dropout(self.flatten(images) / 255, training=True))


def own_call():
    model = OwnCall()
    model(IMAGES.astype("float32"))
    return model


def augmented(layer):
    return functional(layer, layers.Flatten(), layers.Dense(4))


class OwnFlip(layers.RandomFlip):
    def call(self, images, training=None):
        return super().call(images, training=training)


class OwnContrast(layers.RandomContrast):
    def call(self, images, training=None):
        return super().call(images, training=training)


@pytest.mark.parametrize("make", [layers.RandomFlip, lambda: layers.RandomBrightness(0.3)])
def test_augmentation_that_stops_at_inference_is_taken(make):
    network = augmented(make())
    found = build_extractor(network, preprocessing="none").predict(IMAGES, verbose=0)["logits"]
    np.testing.assert_allclose(found, network.predict(IMAGES, verbose=0), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ending_in(lambda x: layers.Dropout(0.5)(x, training=True), layers.Dense(4)),
        lambda: ending_in(AlwaysDropout(0.5), layers.Dense(4)),
        own_call,
        lambda: augmented(lambda x: OwnFlip()(x, training=True)),
        lambda: augmented(lambda x: OwnContrast(0.3)(x, training=True)),
    ],
    ids=["training=True", "a subclass", "a call of its own", "flips", "contrast"],
)
def test_dropout_that_stays_on_is_named(make):
    with pytest.raises(ValueError, match="random numbers at inference, of .*training=True"):
        build_extractor(make())
