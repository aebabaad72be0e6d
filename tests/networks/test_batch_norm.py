"""The fused batch normalisation gives the numbers of Keras's layer, and its files."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from kerasood.networks.batch_norm import BatchNormalization
from kerasood.networks.wide_resnet import WideResNet

KINDS = {"keras": keras.layers.BatchNormalization, "fused": BatchNormalization}
IMAGES = np.random.default_rng(0).normal(3, 2, (5, 4, 4, 3)).astype("float32")


def trained(kind, images=IMAGES, training=True, mask=None, **kwargs):
    """A built layer with weights of its own, and its answer in training."""
    layer = KINDS[kind](momentum=0.9, epsilon=1e-5, name="bn", **kwargs)
    layer.build(images.shape)
    channels = images.shape[layer.axis]
    values = np.linspace(0.5, 2, channels, dtype="float32")
    layer.set_weights([values + i for i in range(len(layer.weights))])
    return layer, layer(images, training=training, mask=mask)


def both(**kwargs):
    return [trained(kind, **kwargs) for kind in KINDS]


def assert_same(kinds, rtol=1e-5, atol=1e-5):
    (one, outputs), (other, others) = kinds
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(others, "float32")),
        ops.convert_to_numpy(ops.cast(outputs, "float32")),
        rtol, atol,
    )
    assert outputs.dtype == others.dtype
    for weight, twin in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(twin, weight, rtol=1e-5)


def test_a_moving_variance_by_hand():
    """Two pixels, 0 and 2: mean 1 and variance 1, which Bessel's correction would make 2."""
    layer = BatchNormalization(momentum=0.75, epsilon=1e-5)
    outputs = layer(np.reshape([0.0, 2.0], (1, 2, 1, 1)).astype("float32"), training=True)
    np.testing.assert_allclose(np.ravel(outputs), [-1, 1], rtol=1e-4)
    np.testing.assert_allclose(layer.moving_mean, [0.25])
    np.testing.assert_allclose(layer.moving_variance, [0.75 * 1 + 0.25 * 1])


def test_a_single_pixel_has_no_variance():
    layer = BatchNormalization(momentum=0.75)
    outputs = layer(np.full((1, 1, 1, 2), 7.0, "float32"), training=True)
    np.testing.assert_array_equal(np.ravel(outputs), [0, 0])
    np.testing.assert_allclose(layer.moving_variance, [0.75, 0.75])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"center": False},
        {"scale": False},
        {"axis": 3},
        {"axis": 1},
        {"trainable": False},
        pytest.param(
            {"renorm": True},
            marks=pytest.mark.skipif(
                "renorm" not in inspect.signature(keras.layers.BatchNormalization).parameters,
                reason="this Keras has no renorm",
            ),
            id="renorm",
        ),
        {"images": IMAGES[:, 0]},
        {"images": IMAGES[:, 0, 0]},
        {"dtype": "float64"},
        {"mask": np.arange(80).reshape(5, 4, 4) % 3 > 0},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_outputs_and_statistics_are_those_of_keras(options, training):
    assert_same(both(training=training, **options))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_in_mixed_precision_statistics_stay_float32(dtype):
    images = ops.cast(IMAGES, dtype.removeprefix("mixed_"))
    kinds = both(images=images, dtype=dtype)
    assert_same(kinds, rtol=2**-7, atol=2**-7)
    assert {weight.dtype for weight in kinds[1][0].weights} == {"float32"}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="by TensorFlow's tape")
@pytest.mark.parametrize("jit", [False, True])
def test_gradients_and_statistics_are_those_of_keras_also_under_xla(jit):
    import tensorflow as tf

    @tf.function(jit_compile=jit)
    def gradients(layer, images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = tf.reduce_sum(tf.cos(layer(images, training=True)))
        return tape.gradient(loss, [images, layer.gamma.value, layer.beta.value])

    layers = [trained(kind)[0] for kind in KINDS]
    results = [gradients(layer, tf.constant(IMAGES)) for layer in layers]
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    for expected, actual in zip(*(layer.get_weights() for layer in layers), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's operations")
@pytest.mark.parametrize("training", [True, False])
def test_graphs_hold_the_fused_operation(training):
    import tensorflow as tf

    network = WideResNet(10, 1, 10, 0.3, dtype="mixed_bfloat16")
    images = tf.zeros((2, 32, 32, 3), "uint8")
    function = tf.function(lambda images: network(images, training=training))
    graph = function.get_concrete_function(images)
    kinds = [operation.type for operation in graph.graph.get_operations()]
    batch_norms = sum(isinstance(layer, BatchNormalization) for layer in network.layers)
    assert kinds.count("FusedBatchNormV3") == batch_norms == 7


@pytest.mark.parametrize("saved, loaded", [("keras", "fused"), ("fused", "keras")])
def test_a_file_saved_with_either_layer_loads_into_the_other(saved, loaded, tmp_path):
    def model(kind, value):
        images = keras.Input(IMAGES.shape[1:])
        layer = KINDS[kind](gamma_initializer=keras.initializers.Constant(value))
        return keras.Model(images, layer(images))

    one, other = model(saved, 2.0), model(loaded, 3.0)
    one(IMAGES, training=True)
    one.save_weights(tmp_path / "one.weights.h5")
    other.load_weights(tmp_path / "one.weights.h5")
    expected, actual = (model.predict(IMAGES, verbose=0) for model in (one, other))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    assert one.layers[1].get_config().keys() == other.layers[1].get_config().keys()


def test_a_saved_model_brings_the_layer_back(tmp_path):
    images = keras.Input(IMAGES.shape[1:])
    model = keras.Model(images, BatchNormalization(momentum=0.5)(images))
    model.save(tmp_path / "model.keras")
    layer = keras.saving.load_model(tmp_path / "model.keras").layers[1]
    assert type(layer) is BatchNormalization
    assert layer.momentum == 0.5
