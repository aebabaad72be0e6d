"""Folded batch normalisation: the same answers from fewer operations."""

import keras
import numpy as np
import pytest
from keras import layers
from tiny_models import random_images, small_network, wide_resnet

from kerasood.export.graph import folding
from kerasood.export.graph.folding import ScaleShift, fold_batch_norm, folded_or_same
from kerasood.extractor.build import build_extractor


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


def trained_statistics(network):
    generator = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            shapes = [weight.shape for weight in layer.get_weights()]
            layer.set_weights([generator.uniform(0.5, 2, shape) for shape in shapes])
    return network


def test_a_scale_and_a_shift_by_hand():
    images = keras.Input((2,))
    normalised = layers.BatchNormalization(epsilon=0.0, name="bn")(layers.ReLU()(images))
    network = keras.Model(images, normalised)
    # gamma 3, beta 1, mean 2, variance 4: 3 (x - 2) / 2 + 1 = 1.5 x - 2.
    network.get_layer("bn").set_weights([np.full(2, value) for value in (3.0, 1.0, 2.0, 4.0)])
    folded = fold_batch_norm(network)
    assert kinds(folded) == ["InputLayer", "ReLU", "ScaleShift"]
    np.testing.assert_allclose(folded(np.array([[2.0, -1.0]])), [[1.0, -2.0]])


def test_a_scale_and_a_shift_of_images_by_hand():
    # Two images of 1 x 1 pixel and 2 channels.
    pixels = np.array([[[[2.0, -1.0]]], [[[0.0, 3.0]]]], "float32")
    shifted = ScaleShift([1.5, -2.0], [-2.0, 1.0])(pixels)
    np.testing.assert_allclose(shifted, [[[[1.0, 3.0]]], [[[-2.0, -5.0]]]])


def test_a_convolution_before_a_sum_gets_a_bias_of_zeros():
    images = keras.Input((4, 4, 2))
    x = layers.BatchNormalization()(layers.Conv2D(3, 1, use_bias=False, name="stem")(images))
    summed = layers.Conv2D(3, 3, padding="same", use_bias=False, name="summed")(x)
    read_twice = layers.Conv2D(3, 1, use_bias=False, name="read_twice")(x)
    added = layers.Add()([summed, read_twice])
    network = trained_statistics(keras.Model(images, [added, layers.ReLU()(read_twice)]))
    folded = fold_batch_norm(network)
    assert not folded.get_layer("read_twice").use_bias
    np.testing.assert_array_equal(folded.get_layer("summed").bias, np.zeros(3))
    inputs = np.random.default_rng(1).normal(size=(3, 4, 4, 2)).astype("float32")
    for actual, expected in zip(folded(inputs), network(inputs, training=False), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("linear", [layers.Conv2D(3, 2), layers.Dense(3)], ids=["conv", "dense"])
def test_a_linear_layer_takes_it_up(linear, use_bias):
    linear = linear.__class__.from_config({**linear.get_config(), "use_bias": use_bias})
    images = keras.Input((4, 4, 2))
    network = trained_statistics(keras.Model(images, layers.BatchNormalization()(linear(images))))
    folded = fold_batch_norm(network)
    assert kinds(folded) == ["InputLayer", type(linear).__name__]
    inputs = np.random.default_rng(1).normal(size=(3, 4, 4, 2)).astype("float32")
    expected = network(inputs, training=False)
    np.testing.assert_allclose(folded(inputs), expected, rtol=1e-5, atol=1e-5)


def test_only_where_nothing_else_reads_the_layer():
    images = keras.Input((4,))
    shared = layers.Dense(3, name="shared")(images)
    active = layers.Dense(3, activation="relu")(images)
    parts = [shared, layers.BatchNormalization()(shared), layers.BatchNormalization()(active)]
    network = trained_statistics(keras.Model(images, layers.Add()(parts)))
    folded = fold_batch_norm(network)
    assert kinds(folded).count("ScaleShift") == 2
    inputs = np.random.default_rng(1).normal(size=(3, 4)).astype("float32")
    expected = network(inputs, training=False)
    np.testing.assert_allclose(folded(inputs), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("build", [wide_resnet, small_network])
def test_an_extractor_answers_as_before(build):
    network = build_extractor(trained_statistics(build()))
    before = [weight.copy() for weight in network.get_weights()]
    folded = fold_batch_norm(network)
    images = random_images(network.inputs[0].shape[1:])
    expected, outputs = network(images, training=False), folded(images, training=False)
    assert outputs.keys() == expected.keys()
    for name, values in expected.items():
        scale = np.abs(values).max()
        np.testing.assert_allclose(outputs[name], values, rtol=1e-4, atol=1e-5 * scale)
    assert "BatchNormalization" not in kinds(folded)
    # Of the seven of a WRN-10-1 the second of each block folds; a ReLU or a sum feeds the others.
    remaining = sum(isinstance(layer, ScaleShift) for layer in folded.layers)
    assert remaining == {"wide_resnet": 4, "small_network": 1}[build.__name__]
    for weight, old in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_a_network_without_any_stays_itself():
    images = keras.Input((4,))
    network = keras.Model(images, layers.Dense(3)(images))
    assert fold_batch_norm(network) is network


def residual_by_operators():
    """(network, its Dense layer): a sum written as `+`, and a slice, which are no layers."""
    images = keras.Input((8, 8, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255)(images)
    h = layers.Conv2D(4, 3, padding="same", use_bias=False, name="read_twice")(x)
    y = layers.Conv2D(4, 3, padding="same")(layers.BatchNormalization()(h))
    z = layers.BatchNormalization()(y + h)[:, 1:]
    dense = layers.Dense(5)
    features = dense(layers.GlobalAveragePooling2D()(z))
    outputs = {"features": features, "logits": layers.Dense(3)(features)}
    return trained_statistics(keras.Model(images, outputs)), dense


def assert_folded_alike(network):
    images = random_images((8, 8, 3))
    folded = folded_or_same(network)
    assert folded is not network and "BatchNormalization" not in kinds(folded)
    for name, expected in network(images, training=False).items():
        np.testing.assert_allclose(folded(images)[name], expected, rtol=1e-5, atol=1e-5)


def test_readers_that_are_no_layers_count():
    network, _ = residual_by_operators()
    assert_folded_alike(network)
    assert not folded_or_same(network).get_layer("read_twice").use_bias


def test_low_rank_adapters_are_left_alone():
    network, dense = residual_by_operators()
    dense.enable_lora(2)
    dense.lora_kernel_b.assign(np.ones(dense.lora_kernel_b.shape))
    assert_folded_alike(network)


@pytest.mark.parametrize("fault", ["other answers", "an error"])
def test_where_the_copy_does_not_equal_the_network_it_is_not_used(fault, monkeypatch, caplog):
    def shifted(weights, scale, shift):
        if fault == "an error":
            raise TypeError("cannot be copied")
        return [weights[0] * scale, shift + 1]

    monkeypatch.setattr(folding, "_folded", shifted)
    images = keras.Input((8, 8, 3), dtype="uint8")
    x = layers.BatchNormalization()(layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(images)))
    network = trained_statistics(keras.Model(images, {"logits": layers.Flatten()(x)}))
    assert folded_or_same(network) is network
    assert "exported as it is, not folded" in caplog.text
