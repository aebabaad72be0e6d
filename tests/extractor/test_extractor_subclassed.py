"""Models with a `call` of their own, whose layers are watched while they run."""


import keras
import numpy as np
import pytest
from classifiers import Subclassed, assert_extracts, built, functional, state, untouched
from keras import layers, ops
from tiny_models import random_images

from kerasood.detectors import Energy
from kerasood.evaluation.outputs import collect
from kerasood.extractor import (
    build_extractor,
    head_layer,
    head_of,
    is_extractor,
    with_float_input,
)
from kerasood.serving import OODModel

tf = pytest.importorskip("tensorflow")
IMAGES = random_images((8, 8, 3), 6)
ENDINGS = [None, "softmax", "log_softmax"]


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_head_is_found_and_the_model_stays_as_it_is(ending):
    network = built(Subclassed(ending))
    before = state(network), network(IMAGES).numpy().tobytes()
    extractor = build_extractor(network)
    assert is_extractor(extractor)
    assert head_layer(extractor) is head_layer(network) is network.head
    outputs = extractor(IMAGES)
    if ending != "log_softmax":
        assert_extracts(extractor, network, IMAGES, head_of(extractor), ending == "softmax")
    shifts = np.asarray(network(IMAGES)) - outputs["logits"]
    assert ending != "log_softmax" or np.ptp(shifts, axis=-1).max() < 1e-5
    assert (state(network), network(IMAGES).numpy().tobytes()) == before
    assert [id(w) for w in extractor.weights] == [id(w) for w in network.weights]


def test_a_subclassed_model_inside_a_graph():
    for network in (
        functional(Subclassed("softmax")),
        keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), Subclassed("softmax")]),
    ):
        extractor = build_extractor(network, hidden_layers=["conv"])
        assert_extracts(extractor, network, IMAGES, head_of(extractor), True)
        on_pixels = with_float_input(extractor)
        assert_extracts(on_pixels, network, IMAGES, head_of(on_pixels), True)
        fractions = on_pixels(IMAGES + np.float32(0.5))["hidden/conv"]
        assert np.all(np.any(fractions != extractor(IMAGES)["hidden/conv"], axis=-1))


def test_one_function_for_every_way_to_run(network):
    extractor = build_extractor(network, hidden_layers=["conv"])
    expected = extractor(IMAGES)
    ways = {
        "predict_on_batch": extractor.predict_on_batch,
        "predict": lambda images: extractor.predict(images, batch_size=4, verbose=0),
        "function": tf.function(extractor),
        "compiled": tf.function(lambda images: extractor(images), jit_compile=True),
        "collect": lambda images: collect(extractor, [images[:4], images[4:]]),
    }
    for name, way in ways.items():
        for _ in range(2):
            outputs = way(IMAGES)
            assert outputs.keys() == expected.keys(), name
            for key, value in expected.items():
                np.testing.assert_allclose(outputs[key], value, rtol=1e-4, atol=1e-6, err_msg=name)
        assert untouched(network), name
    assert extractor.compute_output_shape((None, 8, 8, 3)) == {
        "features": (None, 4),
        "logits": (None, 4),
        "hidden/conv": (None, 6),
    }


def test_hidden_layers_and_features_by_name(network):
    extractor = build_extractor(network, "dropout", ["conv", "hidden"])
    outputs = extractor(IMAGES)
    pixels = np.asarray(network.conv(IMAGES.astype("float32") / 64 - 2), "float64")
    np.testing.assert_allclose(outputs["hidden/conv"], pixels.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(outputs["hidden/hidden"], outputs["features"])
    with pytest.raises(ValueError, match="with the features of another layer"):
        head_of(extractor)
    auto = build_extractor(network, hidden_layers="auto")
    assert set(auto(IMAGES)) == {"features", "logits", f"hidden/{network.norm.name}"}
    with pytest.raises(ValueError, match=r"shape \(N, D\). Received: shape=\(4, 6, 6, 6\)"):
        build_extractor(network, feature_layer="conv")
    with pytest.raises(ValueError, match="Expected the name of one layer .*conv.*'nope', which 0"):
        build_extractor(network, hidden_layers=["nope"])


class Auxiliary(keras.Model):
    """Calls one head for a crop and for the image, and has another of the same shape."""

    def __init__(self, own="head"):
        super().__init__(name="mine")
        self.own = own
        self.flatten = layers.Flatten()
        self.body = layers.Dense(5, activation="relu")
        self.heads = {"head": layers.Dense(3, name="head"), "other": layers.Dense(3, name="other")}

    def call(self, images):
        x = ops.cast(images, "float32") / 255
        crop = self.heads["head"](self.body(self.flatten(x * 0.5)))
        logits = self.heads["head"](inputs=self.body(self.flatten(x)))
        other = self.heads["other"](self.body(self.flatten(x)))
        return {"head": logits, "crop": crop, "mean": (crop + other) / 2}[self.own]


@pytest.mark.parametrize("own", ["head", "crop"])
def test_the_call_of_the_head_that_gives_the_output_is_taken(own):
    network = built(Auxiliary(own))
    extractor = build_extractor(network)
    assert_extracts(extractor, network, IMAGES, head_of(extractor), False)


def test_a_head_that_cannot_be_told_is_named():
    network = built(Auxiliary())
    head, other = network.heads.values()
    other.set_weights(head.get_weights())
    with pytest.raises(ValueError, match="several.* Received: .'head', 'other'. in model='mine'"):
        build_extractor(network)
    assert head_layer(build_extractor(network, head_layer="other")) is other
    assert untouched(network)


def test_an_attribute_path_names_a_layer():
    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.classifier = Subclassed()

        def call(self, images):
            return self.classifier(images)

    network = built(Outer())
    extractor = build_extractor(network, head_layer="classifier.head")
    assert head_layer(extractor) is network.classifier.head
    with pytest.raises(ValueError, match="Received: none in model="):
        build_extractor(network, head_layer="classifier.hidden")


class Ending(Subclassed):
    """Something else than a softmax after the head."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, images, training=None):
        return self.function(super().call(images, training))


class Compiled(Subclassed):
    @tf.function
    def call(self, images, training=None):
        return super().call(images, training)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ending(ops.sigmoid), "Expected one Dense layer.* Received: none in model='mine'"),
        (lambda: Ending(lambda x: x / 2), "Expected one Dense layer.* Received: none"),
        (lambda: Ending(lambda x: (x, x)), r"one output of shape \(N, K\). Received: .*\(4, 4\)"),
        (lambda: Ending(lambda x: {"logits": x}), "one output of shape.* Received: .'logits'"),
        (Compiled, "no function compiled before calls.* Received: none"),
    ],
    ids=["sigmoid", "temperature", "two outputs", "named output", "compiled by itself"],
)
def test_what_cannot_be_exact_is_refused(make, message):
    network = built(make())
    with pytest.raises(ValueError, match=message):
        build_extractor(network)
    assert untouched(network)


def test_a_model_of_integers_gets_integers():
    class Halved(Subclassed):
        def call(self, images, training=None):
            return super().call(ops.right_shift(images, 1), training)

    network = built(Halved("softmax"))
    extractor = build_extractor(network)
    assert extractor.inputs[0].dtype == "uint8"
    assert_extracts(extractor, network, IMAGES, head_of(extractor), True)
    with pytest.raises(ValueError, match="a model of float pixels. Received: model='mine'"):
        with_float_input(extractor)


def test_a_head_that_is_no_longer_called_is_named():
    network = built(Auxiliary("crop"))
    extractor = build_extractor(network)
    network.heads["head"] = network.heads["other"]
    with pytest.raises(ValueError, match="to call its layer 'head'.*Received: 0 calls"):
        extractor(IMAGES)


def test_mixed_precision_and_any_image_size():
    class Pooled(Subclassed):
        vectors = layers.GlobalAveragePooling2D

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = built(Pooled("softmax"))
    finally:
        keras.config.set_dtype_policy("float32")
    extractor = build_extractor(network, image_shape=(None, None, 3))
    assert extractor.inputs[0].shape == (None, None, None, 3)
    images = random_images((12, 12, 3), 4)
    features = np.asarray(extractor(images)["features"])
    head = head_of(extractor)
    np.testing.assert_allclose(extractor(images)["logits"], head.logits(features), rtol=1e-5)
    assert features.dtype == np.float32


def test_one_model_with_detector_and_threshold(network, tmp_path):
    model = OODModel(network, Energy(), 0.0)
    assert (model.image_shape, model.num_classes) == ((8, 8, 3), 4)
    outputs = model.predict(IMAGES)
    np.testing.assert_allclose(outputs["probabilities"], network(IMAGES), rtol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(IMAGES)["logits"], model(IMAGES)["logits"])


def test_the_exported_model_answers_alike(network, tmp_path):
    from kerasood.export import FORMATS, run_exported

    model = OODModel(network, Energy(), 0.0)
    FORMATS["saved_model"].write(model, tmp_path / "1", {})
    outputs = run_exported(tmp_path / "1", IMAGES)
    for name, expected in model(IMAGES).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-6)
    assert untouched(network)
