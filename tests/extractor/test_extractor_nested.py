"""Models inside models, hidden layers, and float pixels."""

import keras
import numpy as np
import pytest
from classifiers import Subclassed, assert_extracts, backbone, built, functional, maps, state, stem
from keras import layers, ops
from tiny_models import random_images, wide_resnet

from kerasood.extractor import build_extractor, head_of, with_float_input
from kerasood.extractor.stages import LayerOutput, last_of_stages

tf = pytest.importorskip("tensorflow")
IMAGES = random_images((8, 8, 3), 6)


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


def dense(activation=None, **arguments):
    return layers.Dense(4, activation, bias_initializer="uniform", **arguments)


def transfer():
    """The usual recipe: a frozen backbone that is called in inference mode."""
    images = keras.Input((8, 8, 3), dtype="uint8")
    x = backbone("float32")(layers.Rescaling(1.0)(images), training=False)
    return keras.Model(images, dense("softmax")(layers.Dropout(0.5)(x)), name="mine")


def head_inside():
    top = keras.Sequential([layers.Dense(7, activation="relu"), dense()], name="top")
    parts = [keras.Input((8, 8, 3), dtype="uint8"), backbone(), top]
    return keras.Sequential([*parts, keras.Sequential([layers.Softmax()])], name="mine")


def three_deep():
    classifier = functional(backbone(), dense("softmax"), name="classifier")
    return functional(functional(classifier, name="middle"))


def two_backbones_with_the_same_names():
    images = keras.Input((8, 8, 3), dtype="uint8")
    parts = [backbone(name=name)(images) for name in ("left", "right")]
    return keras.Model(images, dense()(layers.Concatenate()(parts)), name="mine")


# Models, whether they return probabilities, and a layer inside.
NESTED = {
    "backbone": (lambda: functional(backbone(), dense()), False, "inner"),
    "sequential backbone": (
        lambda: functional(keras.Sequential(stem(), name="stem"), dense("softmax")),
        True,
        "stem/stem_conv",
    ),
    "transfer": (transfer, True, "backbone/inner"),
    "head inside": (head_inside, True, "inner"),
    "three deep": (three_deep, True, "middle/classifier/backbone/inner"),
    "two backbones": (two_backbones_with_the_same_names, False, "right/inner"),
}


@pytest.mark.parametrize(("make", "ends_in_softmax", "inside"), NESTED.values(), ids=NESTED)
def test_nested_models_are_followed_and_stay_as_they_are(make, ends_in_softmax, inside):
    network = make()
    before = state(network), network(IMAGES).numpy().tobytes()
    for hidden in ((), (inside,)):
        extractor = build_extractor(network, hidden_layers=hidden)
        outputs = assert_extracts(extractor, network, IMAGES, head_of(extractor), ends_in_softmax)
        assert {id(w) for w in extractor.weights} == {id(w) for w in network.weights}
        assert (state(network), network(IMAGES).numpy().tobytes()) == before
    assert np.ptp(outputs[f"hidden/{inside}"]) > 0
    on_pixels = with_float_input(extractor)
    for name, expected in outputs.items():
        np.testing.assert_allclose(
            on_pixels(IMAGES.astype("float32"))[name], expected, rtol=1e-5, atol=1e-5
        )
    assert {id(w) for w in on_pixels.weights} == {id(w) for w in network.weights}
    assert (state(network), network(IMAGES).numpy().tobytes()) == before


def test_the_hidden_activations_are_those_of_the_layer():
    network = functional(backbone(), dense())
    inside = network.get_layer("backbone")
    extractor = build_extractor(network, hidden_layers=["inner", "backbone/stem_conv", "backbone"])
    outputs = extractor(IMAGES)
    np.testing.assert_array_equal(outputs["hidden/inner"], inside(IMAGES))
    np.testing.assert_array_equal(outputs["hidden/backbone"], inside(IMAGES))
    pixels = keras.Model(inside.inputs[0], inside.get_layer("stem_conv").output)(IMAGES)
    expected = np.asarray(pixels, "float64").mean(axis=(1, 2))
    np.testing.assert_allclose(outputs["hidden/backbone/stem_conv"], expected, rtol=1e-5, atol=1e-5)


def test_features_inside_a_nested_model_can_be_named():
    network = three_deep()
    extractor = build_extractor(network, feature_layer="inner")
    inside = build_extractor(network)
    np.testing.assert_array_equal(extractor(IMAGES)["features"], inside(IMAGES)["features"])
    with pytest.raises(ValueError, match="Received: 'inner', which it calls 2 times"):
        build_extractor(two_backbones_with_the_same_names(), feature_layer="inner")


def test_a_nested_model_trains_through_its_extractor_as_by_itself():
    """Batch statistics and the inference mode of a frozen backbone survive the rewiring."""
    parts = (*maps(), layers.BatchNormalization(name="norm"), layers.Flatten())
    inside = functional(*parts, name="inside")
    network = functional(inside, dense())
    norm = inside.get_layer("norm")
    extractor = build_extractor(network, hidden_layers=["norm"])
    expected = network(IMAGES, training=True)
    np.testing.assert_array_equal(extractor(IMAGES, training=True)["logits"], expected)
    assert np.any(norm.moving_mean.numpy() != 0)
    frozen = keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), transfer()])
    outputs = build_extractor(frozen, hidden_layers=["inner"])(IMAGES, training=True)
    np.testing.assert_array_equal(
        outputs["hidden/inner"], build_extractor(frozen)(IMAGES)["features"]
    )


def test_auto_takes_the_last_sum_of_each_stage_of_a_wide_resnet():
    outputs = build_extractor(wide_resnet(), hidden_layers="auto").output
    stages = [f"hidden/stage{stage}_block1_add" for stage in (1, 2, 3)]
    assert list(outputs) == ["features", "logits", *stages]
    assert [outputs[name].shape for name in stages] == [(None, 16), (None, 32), (None, 64)]


def test_auto_takes_the_last_layer_before_each_downsampling_also_in_nested_models():
    def stage(channels, number):
        return layers.Conv2D(channels, 3, padding="same", activation="relu", name=f"conv{number}")

    pools = [layers.MaxPooling2D(name=f"pool{number}") for number in range(2)]
    inside = functional(
        layers.Rescaling(1 / 255), stage(3, 0), stage(4, 1), pools[0], stage(5, 2), pools[1]
    )
    network = functional(inside, layers.GlobalAveragePooling2D(), layers.Dense(2), name="outer")
    outputs = build_extractor(network, hidden_layers="auto").output
    assert list(outputs)[2:] == ["hidden/mine/conv1", "hidden/mine/conv2", "hidden/mine/pool1"]


def test_stages_worked_by_hand():
    rescaling, pad, conv = layers.Rescaling(1), layers.ZeroPadding2D(), layers.Conv2D(1, 1)
    conv.build((None, 4, 4, 1))
    sizes = [(rescaling, 64), (pad, 66), (conv, 64), (layers.Add(), 64), (conv, 64), (pad, 66)]
    sizes += [(conv, 31), (conv, 29), (conv, 14), (layers.Add(), 14), (conv, 1)]
    activations = [
        LayerOutput(f"{number}", (None, size, size, 8), operation)
        for number, (operation, size) in enumerate(sizes)
    ]
    vectors = LayerOutput("vectors", (None, 8), conv)
    chosen = last_of_stages([*activations, vectors], 64)
    assert [one.name for one in chosen] == ["3", "7", "9"]
    assert [one.name for one in last_of_stages(activations, 64, count=2)] == ["7", "9"]


def test_auto_needs_a_fixed_size_and_hidden_layers_a_known_name():
    network = functional(
        *maps(), layers.GlobalAveragePooling2D(), layers.Dense(2), shape=(None, None, 3)
    )
    with pytest.raises(ValueError, match=r"fixed size.* Received: shape=\(None, None, None, 3\)"):
        build_extractor(network, hidden_layers="auto")
    with pytest.raises(ValueError, match="one of .*stem_conv.* Received: 'nope'"):
        build_extractor(network, hidden_layers=["nope"])
    with pytest.raises(ValueError, match="or 'auto'. Received: hidden_layers='stem_conv'"):
        build_extractor(network, hidden_layers="stem_conv")


def gradient(extractor, pixels):
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        value = tf.reduce_sum(extractor(pixels)["logits"][:, 1])
    return tape.gradient(value, pixels)


def smooth():
    return functional(
        layers.Rescaling(1 / 64, offset=-2),
        layers.Conv2D(4, 3, activation="tanh"),
        layers.Flatten(),
        dense("softmax"),
        shape=(4, 4, 3),
    )


def nested_on_integers():
    """A float input in front of a nested model that casts to uint8."""
    return functional(smooth(), dtype="float32", shape=(4, 4, 3), name="outer")


@pytest.mark.parametrize("make", [smooth, nested_on_integers])
def test_the_gradient_equals_finite_differences(make):
    extractor = with_float_input(build_extractor(make()))
    pixels = tf.constant(random_images((4, 4, 3), 2)[1:], tf.float32)
    received = gradient(extractor, pixels).numpy().ravel()
    steps = np.eye(48, dtype="float32").reshape(48, 4, 4, 3)
    change = extractor(pixels + steps)["logits"] - extractor(pixels - steps)["logits"]
    assert np.abs(received).max() > 1e-3
    np.testing.assert_allclose(received, np.asarray(change)[:, 1] / 2, atol=2e-5)


def test_without_a_float_input_there_is_no_gradient():
    assert gradient(build_extractor(smooth()), tf.ones((1, 4, 4, 3))) is None


def test_the_float_input_of_a_wide_resnet_takes_fractions():
    network = wide_resnet()
    images = random_images((32, 32, 3), 2)
    extractor = build_extractor(network, hidden_layers="auto")
    on_pixels = with_float_input(extractor)
    for name, expected in extractor(images).items():
        np.testing.assert_allclose(
            on_pixels(images.astype("float32"))[name], expected, rtol=1e-5, atol=1e-5
        )
    assert np.any(on_pixels(images + 0.5)["logits"] != on_pixels(images + 0.0)["logits"])
    assert [id(w) for w in on_pixels.weights] == [id(w) for w in network.weights]


def test_extractors_of_floats_are_returned_as_they_are():
    extractor = build_extractor(functional(*stem(), dense(), dtype="float32"))
    assert with_float_input(extractor) is extractor


def test_casts_that_no_graph_reaches_are_refused():
    class Around(keras.Model):
        def __init__(self):
            super().__init__(name="around")
            self.inside = functional(*stem(), dense(), name="inside")

        def call(self, images):
            return ops.softmax(self.inside(images))

    for network in (built(Around()), functional(Around())):
        extractor = build_extractor(network)
        with pytest.raises(ValueError, match="float pixels. Received: .*inside in model="):
            with_float_input(extractor)
    with pytest.raises(ValueError, match="Expected an extractor. Received: Subclassed"):
        with_float_input(Subclassed())
