import keras
import numpy as np
import pytest
from keras import layers
from tiny_models import random_images, small_network, wide_resnet

from kerasood.models.extractor import build_extractor, has_graph, head_layer

IMAGES = random_images((8, 8, 3))
VECTORS = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.head = layers.Dense(3)

    def call(self, vectors):
        return self.head(vectors)


def vectors_to(*parts):
    """A functional model from (N, 4) through layers or functions."""
    vectors = x = keras.Input((4,))
    for part in parts:
        x = part(x)
    return keras.Model(vectors, x, name="mine")


def assert_head_follows_features(outputs, head):
    expected = np.asarray(outputs["features"], "float64") @ np.asarray(head.kernel, "float64")
    np.testing.assert_allclose(outputs["logits"], expected + head.bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [small_network, wide_resnet], ids=["functional", "wide_resnet"])
def test_logits_are_the_models_own_and_features_what_its_head_sees(make):
    network = make()
    images = random_images(network.input_shape[1:], 4)
    outputs = build_extractor(network)(images)
    assert set(outputs) == {"features", "logits"}
    np.testing.assert_array_equal(outputs["logits"], network(images))
    assert_head_follows_features(outputs, network.layers[-1])


def test_the_features_of_a_wide_resnet_are_its_layer_of_that_name():
    network = wide_resnet()
    images = random_images((32, 32, 3), 2)
    features = keras.Model(network.input, network.get_layer("features").output)(images)
    np.testing.assert_array_equal(build_extractor(network)(images)["features"], features)


def test_a_sequential_model_and_a_nested_backbone_work():
    backbone = vectors_to(layers.Dense(6, activation="relu"))
    network = keras.Sequential([backbone, layers.Dense(3)])
    network.build((None, 4))
    outputs = build_extractor(network)(VECTORS)
    np.testing.assert_array_equal(outputs["logits"], network(VECTORS))
    np.testing.assert_array_equal(outputs["features"], backbone(VECTORS))


def test_another_layer_can_give_the_features():
    network = vectors_to(layers.Dense(6, name="early"), layers.Dense(5), layers.Dense(3))
    outputs = build_extractor(network, feature_layer="early")(VECTORS)
    np.testing.assert_array_equal(outputs["features"], network.get_layer("early")(VECTORS))
    np.testing.assert_array_equal(outputs["logits"], network(VECTORS))


def test_a_head_that_was_called_in_another_model_before_is_followed_here():
    head = layers.Dense(3, name="head")
    vectors_to(head)
    network = vectors_to(layers.Dense(4, activation="relu"), head)
    outputs = build_extractor(network)(VECTORS)
    np.testing.assert_array_equal(outputs["features"], network.layers[1](VECTORS))
    np.testing.assert_array_equal(outputs["logits"], network(VECTORS))


def test_the_model_shares_its_weights_and_stays_as_it_is():
    network = small_network()
    config, weights = network.get_config(), [weight.copy() for weight in network.get_weights()]
    extractor = build_extractor(network)
    extractor(IMAGES)
    assert network.get_config() == config
    for weight, expected in zip(network.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    network.layers[-1].bias.assign_add([1.0] * 4)
    np.testing.assert_array_equal(extractor(IMAGES)["logits"], network(IMAGES))


def test_the_head_is_the_layer_whose_weights_make_the_logits():
    network = vectors_to(layers.Dense(6), layers.Dense(3, name="head"))
    assert head_layer(network) is network.get_layer("head")


def test_only_connected_layers_are_a_graph():
    assert has_graph(vectors_to(layers.Dense(3)))
    assert has_graph(keras.Sequential([keras.Input((4,)), layers.Dense(3)]))
    assert not has_graph(keras.Sequential([layers.Dense(3)]))
    assert not has_graph(Subclassed())


def two_inputs():
    first, second = keras.Input((4,)), keras.Input((4,))
    return keras.Model([first, second], layers.Dense(3)(first + second), name="mine")


def two_outputs():
    vectors = keras.Input((4,))
    heads = [layers.Dense(3)(vectors), layers.Dense(2)(vectors)]
    return keras.Model(vectors, heads, name="mine")


BUILT = "Expected a built Functional or Sequential model"
ONE = "Expected one input and one output"
DENSE = "Expected the last layer to be Dense"
LOGITS = "Expected a model that returns logits"
REFUSED = {
    "subclassed": (Subclassed, BUILT, "model='mine' of class Subclassed"),
    "unbuilt": (
        lambda: keras.Sequential([layers.Dense(3)], name="mine"),
        BUILT,
        "model='mine' of class Sequential",
    ),
    "two inputs": (two_inputs, ONE, "2 inputs and 1 outputs of model='mine'"),
    "two outputs": (two_outputs, ONE, "1 inputs and 2 outputs of model='mine'"),
    "softmax head": (
        lambda: vectors_to(layers.Dense(3, activation="softmax", name="head")),
        LOGITS,
        "activation='softmax' in layer 'head'",
    ),
    "softmax layer": (
        lambda: vectors_to(layers.Dense(3), layers.Softmax(name="last")),
        LOGITS,
        "activation='softmax' in layer 'last'",
    ),
    "softmax operation": (
        lambda: vectors_to(layers.Dense(3), keras.ops.softmax),
        LOGITS,
        "activation='softmax' in layer 'softmax",
    ),
    "dropout at the end": (
        lambda: vectors_to(layers.Dense(3), layers.Dropout(0.5, name="last")),
        DENSE,
        "'last' of class Dropout",
    ),
    "operation at the end": (
        lambda: vectors_to(layers.Dense(3), lambda logits: logits / 2),
        DENSE,
        "of class TrueDivide",
    ),
}


@pytest.mark.parametrize(("make", "expected", "received"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_graph_to_logits_is_refused_and_named(make, expected, received):
    with pytest.raises(ValueError, match=f"^{expected}.* Received: .*{received}"):
        build_extractor(make())


def test_features_that_are_no_vectors_are_refused():
    images = keras.Input((8, 8, 3))
    pixels = layers.Conv2D(2, 3, name="pixels")(images)
    network = keras.Model(images, layers.Dense(3)(layers.Flatten()(pixels)))
    with pytest.raises(ValueError, match=r"shape \(N, D\). Received: shape=\(None, 6, 6, 2\)"):
        build_extractor(network, feature_layer="pixels")


def test_an_unknown_feature_layer_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="No such layer: nope. Existing layers are.*head"):
        build_extractor(vectors_to(layers.Dense(3, name="head")), feature_layer="nope")
