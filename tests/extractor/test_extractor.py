import keras
import numpy as np
import pytest
from classifiers import (
    Subclassed,
    assert_extracts,
    backbone,
    functional,
    maps,
    state,
    stem,
    vectors_to,
)
from keras import layers, ops
from tiny_models import random_images, small_network, wide_resnet

from kerasood.extractor.build import (
    attached_extractor,
    build_extractor,
    has_graph,
    head_layer,
    head_of,
    is_extractor,
)

IMAGES = random_images((8, 8, 3), 6)
VECTORS = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


def dense(activation=None, **arguments):
    return layers.Dense(4, activation, bias_initializer="uniform", **arguments)


def pooled():
    return layers.GlobalAveragePooling2D(keepdims=True)


# Endings of a classifier after vectors or maps, and whether its output is probabilities.
ENDINGS = {
    "dense": ((*stem(), dense()), False),
    "no bias": ((*stem(), layers.Dense(4, use_bias=False)), False),
    "dense softmax": ((*stem(), dense("softmax")), True),
    "softmax layer": ((*stem(), dense(), layers.Softmax()), True),
    "activation layer": ((*stem(), dense(), layers.Activation("softmax")), True),
    "softmax operation": ((*stem(), dense(), ops.softmax), True),
    "softmax of ops.nn": ((*stem(), dense(), ops.nn.softmax), True),
    "softmax function": ((*stem(), dense(), keras.activations.softmax), True),
    "dropout": ((*stem(), dense(), layers.Dropout(0.5)), False),
    "dropout, softmax": ((*stem(), dense(), layers.Dropout(0.5), layers.Softmax()), True),
    "reshape": ((*stem(), dense(), layers.Reshape((4, 1)), layers.Flatten()), False),
    "convolution": ((*maps(), pooled(), layers.Conv2D(4, 1), layers.Flatten()), False),
    "MobileNet": (
        (*maps(), pooled(), layers.Conv2D(4, (1, 1)), layers.Reshape((4,)), layers.Softmax()),
        True,
    ),
    "softmax of a pixel": (
        (*maps(), pooled(), layers.Conv2D(4, 1, activation="softmax"), layers.Flatten()),
        True,
    ),
    "SqueezeNet": (
        (
            *maps(),
            layers.Conv2D(4, 1),
            layers.GlobalAveragePooling2D(),
            layers.Activation("softmax"),
        ),
        True,
    ),
}


@pytest.mark.parametrize(("parts", "ends_in_softmax"), ENDINGS.values(), ids=ENDINGS)
def test_the_logits_of_any_head_follow_from_features_and_weights(parts, ends_in_softmax):
    network = functional(*parts)
    before = state(network), network(IMAGES).numpy().tobytes()
    extractor = build_extractor(network)
    outputs = assert_extracts(extractor, network, IMAGES, head_of(extractor), ends_in_softmax)
    assert set(outputs) == {"features", "logits"}
    assert (state(network), network(IMAGES).numpy().tobytes()) == before
    for own, expected in zip(head_of(network), head_of(extractor), strict=True):
        np.testing.assert_array_equal(own, expected)


def test_large_logits_that_a_softmax_saturates_are_exact():
    head = layers.Dense(3, activation="softmax")
    network = vectors_to(head)
    kernel = np.array([[1000, 0, -1000], [500, 1, 2], [0, 0, 3], [0, 0, 0]], "float32")
    head.kernel.assign(kernel)
    vectors = np.eye(4, dtype="float32")
    np.testing.assert_array_equal(build_extractor(network)(vectors)["logits"], kernel)
    assert network(vectors)[0].numpy().tolist() == [1, 0, 0]


@pytest.mark.parametrize("make", [small_network, wide_resnet], ids=["functional", "wide_resnet"])
def test_logits_are_the_models_own_bit_by_bit(make):
    network = make()
    images = random_images(network.input_shape[1:], 4)
    extractor = build_extractor(network)
    np.testing.assert_array_equal(extractor(images)["logits"], network(images))
    assert_extracts(extractor, network, images, head_of(extractor), False)


def test_the_features_of_a_wide_resnet_are_its_layer_of_that_name():
    network = wide_resnet()
    images = random_images((32, 32, 3), 2)
    features = keras.Model(network.input, network.get_layer("features").output)(images)
    np.testing.assert_array_equal(build_extractor(network)(images)["features"], features)


@pytest.mark.parametrize("model", ["model.keras", keras.layers.Dense(3), None])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(ValueError, match=f"a keras.Model. Received: {type(model).__name__}"):
        build_extractor(model)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("last", ["half", "float32"])
def test_mixed_precision_models_give_float32_logits_that_follow_their_features(policy, last):
    head = dense("softmax", dtype=policy if last == "half" else "float32")
    network = functional(*stem(policy), head)
    before = state(network)
    extractor = build_extractor(network)
    assert_extracts(extractor, network, IMAGES, head_of(extractor), True, tolerance=2e-2)
    twin = functional(*stem(), dense("softmax"))
    twin.set_weights(network.get_weights())
    outputs = assert_extracts(extractor, twin, IMAGES, head_of(extractor), True)
    attached = attached_extractor(network)
    coarse = assert_extracts(attached, network, IMAGES, head_of(attached), True, tolerance=2e-2)
    assert np.abs(coarse["logits"] - outputs["logits"]).max() > 1e-4
    assert state(network) == before
    assert network.layers[2].compute_dtype == policy.removeprefix("mixed_")


def test_images_of_any_size():
    network = functional(*maps(), layers.GlobalAveragePooling2D(), dense(), shape=(None, None, 3))
    extractor = build_extractor(network, hidden_layers=["stem_conv"])
    assert extractor.inputs[0].shape == (None, None, None, 3)
    for size in (8, 11):
        images = random_images((size, size, 3), 4)
        outputs = assert_extracts(extractor, network, images, head_of(extractor), False)
        np.testing.assert_array_equal(outputs["hidden/stem_conv"], outputs["features"])


def test_a_sequential_model_that_was_built_by_its_first_call():
    network = keras.Sequential([*stem(), dense()])
    network(IMAGES)
    extractor = build_extractor(network)
    assert_extracts(extractor, network, IMAGES, head_of(extractor), False)


def test_a_dense_subclass_with_softmax_and_a_model_that_ends_in_an_extractors_logits():
    class Named(layers.Dense):
        pass

    network = functional(*stem(), Named(4, activation="softmax", bias_initializer="uniform"))
    extractor = build_extractor(network)
    assert_extracts(extractor, network, IMAGES, head_of(extractor), True)
    again = keras.Model(extractor.input, ops.softmax(extractor.output["logits"]), name="again")
    second = build_extractor(again)
    assert head_layer(second) is network.layers[-1]
    assert_extracts(second, network, IMAGES, head_of(second), True)


def test_another_layer_can_give_the_features():
    network = vectors_to(layers.Dense(6, name="early"), layers.Dense(5), layers.Dense(3))
    extractor = build_extractor(network, feature_layer="early")
    outputs = extractor(VECTORS)
    np.testing.assert_array_equal(outputs["features"], network.get_layer("early")(VECTORS))
    np.testing.assert_array_equal(outputs["logits"], network(VECTORS))
    with pytest.raises(ValueError, match="Received: extractor='mine_extractor' with the features"):
        head_of(extractor)


def test_the_input_of_the_head_can_be_named():
    network = vectors_to(layers.Dense(6, name="early"), layers.Dense(3))
    extractor = build_extractor(network, feature_layer="early")
    np.testing.assert_array_equal(head_of(extractor).kernel, network.layers[-1].kernel)


def test_a_head_that_was_called_in_another_model_before_is_followed_here():
    head = layers.Dense(3, name="head")
    vectors_to(head)
    network = vectors_to(layers.Dense(4, activation="relu"), head)
    outputs = build_extractor(network)(VECTORS)
    np.testing.assert_array_equal(outputs["features"], network.layers[1](VECTORS))
    np.testing.assert_array_equal(outputs["logits"], network(VECTORS))


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_the_weights_are_shared_and_counted_once(activation):
    network = functional(*stem(), dense(activation))
    extractor = build_extractor(network)
    assert [id(w) for w in extractor.weights] == [id(w) for w in network.weights]
    before = np.asarray(extractor(IMAGES)["logits"])
    network.layers[-1].bias.assign_add([1.0] * 4)
    np.testing.assert_allclose(extractor(IMAGES)["logits"], before + 1, rtol=1e-5, atol=1e-6)


def test_an_extractor_survives_the_round_trip_through_a_file(tmp_path):
    network = functional(backbone(), dense(), layers.Softmax())
    extractor = build_extractor(network, hidden_layers=["inner"])
    extractor.save(tmp_path / "extractor.keras")
    loaded = keras.saving.load_model(tmp_path / "extractor.keras", safe_mode=True)
    assert is_extractor(loaded)
    for name, output in extractor(IMAGES).items():
        np.testing.assert_array_equal(loaded(IMAGES)[name], output)
    assert_extracts(loaded, network, IMAGES, head_of(loaded), True)


def test_an_extractor_without_features_has_no_head_for_them():
    vectors = keras.Input((4,))
    outputs = {"logits": layers.Dense(3)(vectors), "logits_2": layers.Dense(3)(vectors)}
    extractor = keras.Model(vectors, outputs, name="mine")
    with pytest.raises(ValueError, match="Received: extractor='mine' with the features of another"):
        head_of(extractor)


def test_the_head_is_the_layer_whose_weights_make_the_logits():
    network = vectors_to(layers.Dense(6), layers.Dense(3, name="head"), ops.softmax)
    assert head_layer(network) is network.get_layer("head")
    assert head_layer(build_extractor(network)) is network.get_layer("head")


def test_only_connected_layers_are_a_graph():
    class Twice(keras.Sequential):
        def call(self, inputs, training=None, mask=None):
            return 2 * super().call(inputs, training, mask)

    assert has_graph(vectors_to(layers.Dense(3)))
    assert has_graph(keras.Sequential([keras.Input((4,)), layers.Dense(3)]))
    assert not has_graph(keras.Sequential([layers.Dense(3)]))
    assert not has_graph(Twice([keras.Input((4,)), layers.Dense(3)]))
    assert not has_graph(Subclassed())


def test_an_unknown_feature_layer_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="one of head.* Received: 'nope', which it calls 0 times"):
        build_extractor(vectors_to(layers.Dense(3, name="head")), feature_layer="nope")


def test_a_layer_that_is_called_twice_gives_no_features():
    shared = layers.Dense(4, name="shared")
    network = vectors_to(shared, shared, layers.Dense(3))
    with pytest.raises(ValueError, match="Received: 'shared', which it calls 2 times"):
        build_extractor(network, feature_layer="shared")
