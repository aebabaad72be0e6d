import json

import keras
import numpy as np
import pytest
from tiny_models import random_images

from kerasood.networks.wide_resnet import WideResNet

IMAGES = random_images((8, 8, 3), 3)


def count(network):
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def counted_by_hand(depth, width, num_classes=10):
    """Kernels, two batch-norm vectors each, and a dense layer."""
    parameters, channels_in = 3 * 16 * 9, 16
    for channels in (16 * width, 32 * width, 64 * width):
        for _ in range((depth - 4) // 6):
            parameters += 2 * channels_in + channels_in * channels * 9
            parameters += 2 * channels + channels * channels * 9
            parameters += channels_in * channels * (channels_in != channels)
            channels_in = channels
    return parameters + 2 * channels_in + (channels_in + 1) * num_classes


@pytest.mark.parametrize(
    ("depth", "width", "parameters"), [(40, 2, 2_243_546), (28, 10, 36_479_194)]
)
def test_parameter_counts_are_the_published_ones(depth, width, parameters):
    assert counted_by_hand(depth, width) == parameters
    assert count(WideResNet(depth, width)) == parameters


def test_parameters_of_a_small_network_with_equal_widths_need_no_shortcut_in_stage_1():
    network = WideResNet(10, 1, 5)
    assert count(network) == counted_by_hand(10, 1, 5)
    names = {layer.name for layer in network.layers if "shortcut" in layer.name}
    assert names == {"stage2_block1_shortcut", "stage3_block1_shortcut"}


class NumpyTwin:
    """The forward pass in float64 from the weights by layer name, with explicit padding."""

    def __init__(self, network):
        self.layer = network.get_layer

    def convolution(self, x, name, stride=1):
        kernel = np.asarray(self.layer(name).kernel, "float64")
        size = len(kernel)
        x = np.pad(x, ((0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)))
        side = (x.shape[1] - size) // stride + 1
        total = 0
        for row in range(size):
            for column in range(size):
                taken = x[:, row::stride, column::stride][:, :side, :side]
                total = total + taken @ kernel[row, column]
        return total

    def normalized(self, x, name):
        layer = self.layer(f"{name}_bn")
        values = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
        gamma, beta, mean, variance = (np.asarray(value, "float64") for value in values)
        return np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta, 0)

    def block(self, x, name, stride, changes_width):
        active = self.normalized(x, f"{name}_1")
        residual = self.convolution(active, f"{name}_conv1", stride)
        residual = self.convolution(self.normalized(residual, f"{name}_2"), f"{name}_conv2")
        # Where the width changes, the shortcut starts behind batch norm and ReLU.
        return residual + (
            self.convolution(active, f"{name}_shortcut", stride) if changes_width else x
        )

    def __call__(self, images, blocks_per_stage):
        x = (images - np.array([125.3, 123.0, 113.9])) / np.array([63.0, 62.1, 66.7])
        x = self.convolution(x, "stem")
        for stage in (1, 2, 3):
            for block in range(1, blocks_per_stage + 1):
                first = stage > 1 and block == 1
                x = self.block(x, f"stage{stage}_block{block}", 1 + first, first)
        features = self.normalized(x, "final").mean(axis=(1, 2))
        head = self.layer("logits")
        return features @ np.asarray(head.kernel, "float64") + np.asarray(head.bias, "float64")


def randomized(network):
    """The network with batch norms, shifts and biases that are not those of a fresh one."""
    generator = np.random.default_rng(0)
    for variable in network.variables:
        if variable.name in ("gamma", "beta", "moving_mean", "bias"):
            variable.assign(variable + generator.normal(0, 0.3, variable.shape))
        elif variable.name == "moving_variance":
            variable.assign(generator.uniform(0.5, 2, variable.shape))
    return network


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return randomized(WideResNet(16, 1, 4, image_size=8))


def test_logits_equal_a_numpy_forward_pass_in_float64(network):
    expected = NumpyTwin(network)(IMAGES, blocks_per_stage=2)
    assert np.ptp(expected) > 1
    logits = network(IMAGES)
    assert logits.dtype == "float32"
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_the_padding_of_strides_is_not_that_of_keras(network):
    """Otherwise the test above could not tell them apart."""
    conv = network.get_layer("stage2_block1_conv1")
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 16)).astype("float32")
    ours = conv(network.get_layer("stage2_block1_pad")(x))
    kerases = keras.ops.conv(x, conv.kernel, strides=2, padding="same")
    assert ours.shape == kerases.shape == (1, 4, 4, 32)
    assert np.abs(np.asarray(ours) - np.asarray(kerases)).max() > 0.1


def test_dropout_sits_between_the_convolutions_of_each_block(network):
    names = [layer.name for layer in network.layers]
    dropouts = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    assert len(dropouts) == 6
    for layer in dropouts:
        block = layer.name.removesuffix("_dropout")
        order = [f"{block}_{part}" for part in ("conv1", "2_bn", "2_relu", "dropout", "conv2")]
        assert [name for name in names if name in order] == order
        assert layer.rate == 0.3
    without = WideResNet(10, 1, dropout=0, image_size=8)
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in without.layers)


def test_a_fresh_network_is_initialised_as_the_recipe_says():
    keras.utils.set_random_seed(0)
    network = WideResNet(10, 4, num_classes=100)
    for name, std in [
        ("stage1_block1_conv2", (2 / (9 * 64)) ** 0.5),
        ("stage3_block1_conv2", (2 / (9 * 256)) ** 0.5),
        ("stage3_block1_shortcut", (2 / 256) ** 0.5),
    ]:
        kernel = np.asarray(network.get_layer(name).kernel)
        assert kernel.std() == pytest.approx(std, rel=0.02), name
        assert abs(kernel.mean()) < 5 * std / kernel.size**0.5, name
        # A truncated normal distribution would end at 2.3 of its own standard deviations.
        assert np.abs(kernel).max() > 3 * std, name
    head = network.get_layer("logits")
    bound = 256**-0.5
    assert np.abs(head.kernel).max() == pytest.approx(bound, rel=1e-2)
    assert np.std(head.kernel) == pytest.approx(bound / 3**0.5, rel=0.02)
    assert not np.any(head.bias)
    assert not any(v.name == "bias" for v in network.trainable_variables if v is not head.bias)


def test_batch_norm_keeps_nine_tenths_of_its_moving_statistics():
    keras.utils.set_random_seed(0)
    network = WideResNet(10, 1, image_size=8)
    stem = np.asarray(keras.Model(network.input, network.get_layer("stem").output)(IMAGES))
    network(IMAGES, training=True)
    layer = network.get_layer("stage1_block1_1_bn")
    mean, variance = stem.mean(axis=(0, 1, 2)), stem.var(axis=(0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * variance, rtol=1e-3)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)


def test_in_mixed_precision_weights_and_logits_stay_float32(network):
    mixed = network.with_dtype("mixed_bfloat16")
    assert mixed.get_layer("stage1_block1_conv1").compute_dtype == "bfloat16"
    assert {keras.backend.standardize_dtype(v.dtype) for v in mixed.weights} == {"float32"}
    logits = mixed(IMAGES)
    assert logits.dtype == "float32"
    np.testing.assert_allclose(logits, network(IMAGES), atol=0.1)
    assert np.any(np.asarray(logits) != np.asarray(network(IMAGES)))


def test_a_copy_of_another_dtype_has_the_same_weights_and_leaves_the_original(network):
    before = [weight.copy() for weight in network.get_weights()]
    back = network.with_dtype("mixed_bfloat16").with_dtype("float32")
    np.testing.assert_array_equal(back(IMAGES), network(IMAGES))
    back.get_layer("logits").bias.assign_add([1.0] * 4)
    for weight, expected in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_copy_may_have_another_dropout(network):
    """Dropout layers hold no weights: the copy answers the same and drops in training alone."""
    assert network.with_dtype("float32").get_config() == network.get_config()
    copy = network.with_dtype("float32", dropout=0.9)
    assert copy.get_config()["dropout"] == 0.9
    np.testing.assert_array_equal(copy(IMAGES), network(IMAGES))
    assert np.any(np.asarray(copy(IMAGES, training=True)) != np.asarray(copy(IMAGES)))
    without = network.with_dtype("float32", dropout=0.0)
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in without.layers)
    np.testing.assert_array_equal(without(IMAGES), network(IMAGES))


def test_the_global_dtype_policy_counts_where_none_is_given():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = WideResNet(10, 1, image_size=8)
    finally:
        keras.config.set_dtype_policy("float32")
    copy = WideResNet.from_config(network.get_config())
    for made in (network, copy):
        assert made.get_layer("stem").compute_dtype == "bfloat16"


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_saved_network_comes_back_in_safe_mode(network, policy, tmp_path):
    network = network.with_dtype(policy)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", safe_mode=True)
    assert type(loaded) is WideResNet
    assert loaded.get_config() == network.get_config()
    np.testing.assert_array_equal(loaded(IMAGES), network(IMAGES))


def test_a_configuration_comes_back_from_json():
    given = {"depth": 10, "width": 2, "num_classes": 7, "dropout": 0.1, "image_size": 12}
    network = WideResNet(**given, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), name="mine")
    config = network.get_config()
    assert given.items() <= config.items()
    copy = WideResNet.from_config(json.loads(json.dumps(config)))
    assert copy.get_config() == config
    assert copy.name == "mine"
    assert [w.shape for w in copy.weights] == [w.shape for w in network.weights]


def test_it_takes_uint8_images_of_its_size(network):
    assert network.input.dtype == "uint8"
    assert network.input_shape == (None, 8, 8, 3)
    assert network.get_layer("features").output.shape == (None, 64)
    with pytest.raises(ValueError, match=r"expected shape=\(None, 8, 8, 3\), found shape"):
        network(random_images((16, 16, 3)))


@pytest.mark.parametrize(
    "arguments",
    [
        *({"depth": depth} for depth in (-2, 4, 13, 41)),
        *({"width": width} for width in (0, -1)),
        *({"num_classes": classes} for classes in (0, 1)),
        *({"dropout": dropout} for dropout in (-0.1, 1.0)),
        *({"image_size": size} for size in (0, 2, 30)),
    ],
    ids=str,
)
def test_arguments_out_of_range_are_named(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"Expected {name} .*Received: {name}={value}"):
        WideResNet(**arguments)
