"""Models whose features and logits cannot be told, each named with the reason."""

import keras
import pytest
from classifiers import Subclassed, functional, maps, stem, vectors_to
from keras import layers, ops

from kerasood.extractor.build import (
    build_extractor,
)


def two_inputs():
    first, second = keras.Input((4,)), keras.Input((4,))
    return keras.Model([first, second], layers.Dense(3)(first + second), name="mine")


def two_outputs():
    vectors = keras.Input((4,))
    heads = [layers.Dense(3)(vectors), layers.Dense(2)(vectors)]
    return keras.Model(vectors, heads, name="mine")


def branches(merge):
    """Logits that several features make together."""
    images = keras.Input((8, 8, 3))
    one = functional(*stem(), layers.Dense(3), dtype="float32", name="one")
    other = functional(*stem(), layers.Dense(3), dtype="float32", name="other")
    return keras.Model(images, merge(one, other, images), name="mine")


class Doubled(layers.Dense):
    def call(self, inputs, training=None):
        return 2 * super().call(inputs, training)


BUILT = "Expected a model that was built"
ONE = "Expected one input and one output"
HEAD = "Expected a model whose logits come from a Dense layer, or a 1x1 convolution"
REFUSED = {
    "unbuilt subclassed": (Subclassed, BUILT, "model='mine' of class Subclassed"),
    "unbuilt": (
        lambda: keras.Sequential([layers.Dense(3)], name="mine"),
        BUILT,
        "model='mine' of class Sequential",
    ),
    "two inputs": (two_inputs, ONE, "2 inputs and 1 outputs of model='mine'"),
    "two outputs": (two_outputs, ONE, "1 inputs and 2 outputs of model='mine'"),
    "sigmoid": (
        lambda: vectors_to(layers.Dense(3, activation="sigmoid", name="head")),
        "Expected a classifier of images of one class each",
        "a sigmoid over 3 outputs in 'head', which is a multi-label head",
    ),
    "sigmoid layer": (
        lambda: vectors_to(layers.Dense(3), layers.Activation("sigmoid", name="last")),
        "Expected a classifier of images of one class each",
        "a sigmoid over 3 outputs in 'last', which is a multi-label head",
    ),
    "softmax twice": (
        lambda: vectors_to(layers.Dense(3, "softmax", name="head"), layers.Softmax()),
        HEAD,
        "'head' of class Dense with activation='softmax'",
    ),
    "softmax over another axis": (
        lambda: vectors_to(layers.Dense(3), layers.Softmax(axis=0, name="last")),
        HEAD,
        "'last' of class Softmax",
    ),
    "a call of its own": (lambda: vectors_to(Doubled(3, name="head")), HEAD, "of class Doubled"),
    "no weights": (
        lambda: vectors_to(layers.Softmax()),
        "Expected a layer with weights",
        "model='mine'",
    ),
    "a map of logits": (
        lambda: functional(*maps(), layers.Conv2D(4, 1, name="last"), layers.Flatten()),
        HEAD,
        "'last' of class Conv2D",
    ),
    "a 3x3 convolution": (
        lambda: functional(layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), dtype="float32"),
        HEAD,
        "of class Conv2D",
    ),
    "pooled probabilities": (
        lambda: functional(
            *maps(), layers.Conv2D(4, 1, activation="softmax"), layers.GlobalAveragePooling2D()
        ),
        HEAD,
        "of class Conv2D with activation='softmax'",
    ),
    "a sum of two heads": (
        lambda: branches(lambda one, other, x: layers.Add(name="sum")([one(x), other(x)])),
        HEAD,
        "'sum' of class Add, at or before which several branches meet",
    ),
    "a mean over flips": (
        lambda: branches(lambda one, _, x: (one(x) + one(ops.flip(x, axis=2))) / 2),
        HEAD,
        "of class TrueDivide, at or before which several branches meet",
    ),
    "sequences": (
        lambda: functional(layers.Dense(3), dtype="float32", shape=(5, 4)),
        "Expected an output of shape .N, K.",
        r"shape=\(None, 5, 3\)",
    ),
}


@pytest.mark.parametrize(("make", "expected", "received"), REFUSED.values(), ids=REFUSED)
def test_what_hides_its_logits_is_refused_and_named(make, expected, received):
    with pytest.raises(ValueError, match=f"^{expected}.* Received: .*{received}"):
        build_extractor(make())


def test_features_that_are_no_vectors_are_refused():
    network = functional(*stem(), layers.Dense(3))
    with pytest.raises(ValueError, match=r"shape \(N, D\). Received: shape=\(None, 6, 6, 6\)"):
        build_extractor(network, feature_layer="stem_conv")


def test_two_inputs_are_refused_with_preprocessing_too():
    with pytest.raises(ValueError, match=f"{ONE}.* 2 inputs and 1 outputs of model='mine'"):
        build_extractor(two_inputs(), preprocessing="scale_0_1")
