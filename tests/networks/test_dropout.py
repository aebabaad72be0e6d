"""Dropout by random bits keeps the share that it shall, at random and repeatably."""

import keras
import numpy as np
import pytest
from keras import ops

from kerasood.networks.dropout import Dropout

ONES = np.ones((64, 8, 8, 16), "float32")

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's operations"
)


def dropped(inputs=ONES, rate=0.3, seed=1, **kwargs):
    outputs = Dropout(rate, seed=seed, **kwargs)(inputs, training=True)
    return ops.convert_to_numpy(ops.cast(outputs, "float32"))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("rate", [0.01, 0.3, 0.9])
def test_a_share_of_the_numbers_is_dropped_and_the_rest_scaled(rate, dtype):
    if dtype == "mixed_bfloat16" and keras.backend.backend() != "tensorflow":
        pytest.skip("7 random bits")
    outputs = dropped(rate=rate, dtype=dtype)
    kept = outputs > 0
    # Five standard deviations.
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / kept.size)
    np.testing.assert_allclose(outputs[kept], 1 / (1 - rate), rtol=2**-8)


def test_neighbours_and_channels_are_dropped_independently():
    kept = (dropped() > 0).reshape(-1, 16)
    correlations = np.corrcoef(kept.T) - np.eye(16)
    assert np.abs(correlations).max() < 5 / np.sqrt(len(kept))


def test_a_seed_repeats_and_a_call_goes_on():
    layer = Dropout(0.3, seed=1)
    first, second = (ops.convert_to_numpy(layer(ONES, training=True)) for _ in range(2))
    np.testing.assert_array_equal(first, dropped())
    assert np.mean(first != second) > 0.3
    assert np.mean(first != dropped(seed=2)) > 0.3


@pytest.mark.parametrize(
    "options",
    [{"rate": 0.0}, {"noise_shape": (64, 1, 1, 16)}, {"inputs": ONES[..., :5]}],
    ids=["no rate", "noise shape", "odd channels"],
)
def test_other_cases_are_those_of_keras(options):
    arguments = {"inputs": ONES, "rate": 0.3, **options}
    inputs = arguments.pop("inputs")
    expected = keras.layers.Dropout(seed=1, **arguments)(inputs, training=True)
    actual = Dropout(seed=1, **arguments)(inputs, training=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(actual), ops.convert_to_numpy(expected))


def test_nothing_is_dropped_outside_training():
    np.testing.assert_array_equal(Dropout(0.3)(ONES), ONES)


@tensorflow_only
def test_the_gradient_passes_where_the_numbers_did():
    import tensorflow as tf

    inputs = tf.constant(ONES)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = Dropout(0.3, seed=1)(inputs, training=True)
    # Of ones, the output is the gradient's factor itself.
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)


@tensorflow_only
def test_a_batch_of_unknown_size():
    import tensorflow as tf

    layer = keras.Sequential([keras.Input((8, 8, 16)), Dropout(0.3, seed=1)])
    function = tf.function(lambda x: layer(x, training=True), reduce_retracing=True)
    for num_images in (3, 5, 64):
        assert function(tf.constant(ONES[:num_images])).shape == (num_images, 8, 8, 16)


def test_a_saved_model_brings_the_layer_back(tmp_path):
    images = keras.Input((8, 8, 16))
    keras.Model(images, Dropout(0.25)(images)).save(tmp_path / "model.keras")
    layer = keras.saving.load_model(tmp_path / "model.keras").layers[1]
    assert type(layer) is Dropout and layer.rate == 0.25
