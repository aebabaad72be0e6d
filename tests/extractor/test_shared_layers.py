"""Layers that a model calls more than once, or that share a name."""

import keras
import numpy as np
import pytest
from classifiers import assert_extracts, built, functional, maps
from keras import layers, ops
from tiny_models import random_images

from kerasood.extractor import build_extractor, head_of, with_float_input
from kerasood.extractor._keras import sublayers
from kerasood.extractor.capturing_extractor import CapturingExtractor

IMAGES, FEW = random_images((16, 16, 3), 4), random_images((8, 8, 3), 4)
STAGES = {"hidden/relu": (None, 4), "hidden/relu_2": (None, 6), "hidden/relu_3": (None, 8)}


@keras.saving.register_keras_serializable(package="kerasood_tests")
class OneReLU(keras.Model):
    """A port from PyTorch: one ReLU and one pooling for the whole net."""

    def __init__(self, name="mine"):
        super().__init__(name=name)
        self.rescaling = layers.Rescaling(1 / 255)
        self.relu, self.pool = layers.ReLU(name="relu"), layers.MaxPooling2D(name="pool")
        self.convs = [self.make(width) for width in (4, 6, 8)]
        self.mean = layers.GlobalAveragePooling2D()
        self.hidden, self.head = layers.Dense(8, name="hidden"), layers.Dense(5)

    def make(self, width):
        return layers.Conv2D(width, 3, padding="same")

    def stages(self, x):
        """What the ReLU gives, at each resolution."""
        found = []
        for conv in self.convs:
            found.append(self.relu(conv(self.pool(found[-1]) if found else self.rescaling(x))))
        return found

    def call(self, images):
        return self.head(self.relu(self.hidden(self.mean(self.stages(images)[-1]))))

    def get_config(self):
        return {"name": self.name}


class Block(layers.Layer):
    def __init__(self, width):
        super().__init__()
        self.conv = layers.Conv2D(width, 3, 2, padding="same", name="relu", activation="relu")

    def call(self, x):
        return self.conv(x)


class EqualNames(OneReLU):
    """Blocks whose inner layers have equal names."""

    def make(self, width):
        return Block(width)

    def stages(self, x):
        found = [self.rescaling(x)]
        for block in self.convs:
            found.append(block(found[-1]))
        return found[1:]


def equal_names():
    return built(EqualNames(), (16, 16, 3))


def one_relu():
    return built(OneReLU(), (16, 16, 3))


def as_graph():
    images = keras.Input((16, 16, 3))
    return keras.Model(images, OneReLU().call(images), name="mine")


@pytest.mark.parametrize("make", [one_relu, equal_names, as_graph])
def test_auto_finds_every_stage_of_a_layer_that_is_called_again(make):
    network = make()
    outputs = build_extractor(network, hidden_layers="auto").predict(IMAGES, verbose=0)
    found = {name: (None, *value.shape[1:]) for name, value in outputs.items()}
    assert found == {"features": (None, 8), "logits": (None, 5), **STAGES}
    if make is not as_graph:
        for name, stage in zip(STAGES, network.stages(IMAGES.astype("float32")), strict=True):
            expected = np.asarray(stage, "float64").mean(axis=(1, 2))
            np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_nested_model_that_is_called_twice_is_rewired_once(dtype, tmp_path):
    inside = functional(*maps(), layers.GlobalAveragePooling2D(), dtype=dtype, name="inside")
    images = keras.Input((8, 8, 3), dtype=dtype)
    both = layers.Concatenate()([inside(images), inside(ops.flip(images, axis=2))])
    network = keras.Model(images, layers.Dense(5)(both), name="mine")
    extractor = build_extractor(network, hidden_layers="auto")
    outputs = assert_extracts(extractor, network, FEW, head_of(extractor), False)
    maps_of = keras.Model(inside.inputs[0], inside.get_layer("stem_conv").output)
    expected = np.mean(maps_of(FEW[:, :, ::-1]), axis=(1, 2))
    np.testing.assert_allclose(outputs["hidden/inside/stem_conv"], expected, rtol=1e-5, atol=1e-5)
    on_pixels = with_float_input(extractor)
    fractions = on_pixels(FEW + np.float32(0.5))["logits"]
    assert np.all(np.any(fractions != outputs["logits"], axis=-1))
    for model in (extractor, on_pixels):
        assert [id(weight) for weight in model.weights] == [id(w) for w in network.weights]
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert len(loaded.weights) == len(network.weights)
        np.testing.assert_allclose(loaded(FEW)["logits"], outputs["logits"], rtol=1e-5, atol=1e-5)


def test_the_calls_that_are_meant_survive_the_round_trip_through_a_file(tmp_path):
    extractor = build_extractor(one_relu(), hidden_layers="auto")
    extractor.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = extractor.predict(IMAGES, verbose=0)
    for name, found in loaded.predict(IMAGES, verbose=0).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-5, atol=1e-6)


def test_a_plan_from_before_calls_were_numbered_takes_the_last():
    network = one_relu()
    plan = build_extractor(network, hidden_layers=["hidden"]).plan
    del plan["hidden_calls"]
    plan["hidden"] = {"relu": sublayers(network).index(network.relu)}
    outputs = CapturingExtractor(network, plan)(IMAGES)
    np.testing.assert_array_equal(outputs["hidden/relu"], outputs["features"])
