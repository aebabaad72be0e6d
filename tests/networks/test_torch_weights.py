import re

import numpy as np
import pytest
from tiny_models import random_images
from torch_states import TorchTwin, torch_state

from kerasood.networks.torch_weights import wide_resnet_from_torch

IMAGES = random_images((8, 8, 3), 3)


def converted(state, **arguments):
    return wide_resnet_from_torch(state, image_size=8, **arguments)


@pytest.mark.parametrize("depth", [10, 16])
@pytest.mark.parametrize("width", [1, 2])
def test_logits_equal_a_numpy_forward_pass_of_the_other_code(depth, width):
    state = torch_state(depth, width)
    network = converted(state)
    expected = TorchTwin(state)(IMAGES)
    assert np.ptp(expected, axis=0).min() > 0.1
    np.testing.assert_allclose(network(IMAGES), expected, rtol=1e-5, atol=1e-5)


def test_the_size_follows_from_the_shapes():
    arrays = torch_state(40, 2, num_classes=100)
    network = wide_resnet_from_torch(arrays)
    config = network.get_config()
    assert [config[name] for name in ("depth", "width", "num_classes")] == [40, 2, 100]
    assert network.count_params() == sum(array.size for array in arrays.values())
    assert (config["dropout"], config["image_size"]) == (0.3, 32)


def test_the_first_block_has_a_shortcut_only_where_it_widens():
    key = "block1.layer.0.convShortcut.weight"
    narrow, wide = torch_state(width=1), torch_state(width=2)
    assert key not in narrow and wide[key].shape == (32, 16, 1, 1)
    with pytest.raises(ValueError, match=f"WRN-10-1 .*Received: unexpected: {key}$"):
        converted({**narrow, key: np.zeros((16, 16, 1, 1), "float32")})
    del wide[key]
    with pytest.raises(ValueError, match=f"WRN-10-2 .*Received: missing: {key}$"):
        converted(wide)


def test_a_prefix_of_all_keys_and_counters_of_batches_do_not_matter():
    state = torch_state()
    others = {f"module.{key}": array for key, array in state.items()}
    others |= {
        key.replace("running_mean", "num_batches_tracked"): np.array(39100.0)
        for key in others
        if key.endswith("running_mean")
    }
    np.testing.assert_array_equal(converted(others)(IMAGES), converted(state)(IMAGES))


def test_a_prefix_of_some_keys_is_not_removed():
    state = torch_state()
    state["module.bn1.bias"] = state.pop("bn1.bias")
    with pytest.raises(ValueError, match="missing: bn1.bias; unexpected: module.bn1.bias$"):
        converted(state)


def test_the_state_dict_is_left_as_it_is():
    state = torch_state()
    network = converted(state)
    network.get_layer("logits").bias.assign([9.0] * 4)
    for key, array in torch_state().items():
        np.testing.assert_array_equal(state[key], array)


def test_images_may_have_been_normalised_otherwise():
    state, halves = torch_state(), np.full(3, 127.5)
    network = converted(state, mean=tuple(halves), std=tuple(halves))
    expected = TorchTwin(state, halves, halves)(IMAGES)
    np.testing.assert_allclose(network(IMAGES), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected - TorchTwin(state)(IMAGES)).max() > 0.01


def test_a_mean_for_pixels_between_0_and_1_is_refused():
    with pytest.raises(ValueError, match="for pixels 0-255.*mean=.0.5, 0.5, 0.5.*std=.0.5"):
        converted(torch_state(), mean=(0.5,) * 3, std=(0.5,) * 3)


def without(key):
    return lambda state: state.pop(key)


def renamed(old, new):
    return lambda state: state.update({new: state.pop(old)})


def replaced(key, array):
    return lambda state: state.update({key: np.asarray(array, "float32")})


def head_named_linear(state):
    for part in ("weight", "bias"):
        renamed(f"fc.{part}", f"linear.{part}")(state)


def deeper_but_for_one_array(state):
    state.update(torch_state(16))
    del state["block1.layer.1.conv1.weight"]


FAULTS = {
    "missing": (without("bn1.running_var"), "missing: bn1.running_var"),
    "head of another name": (
        head_named_linear,
        "with fc.weight of 2 axes. Received: keys conv1.weight, ",
    ),
    "renamed": (
        renamed("block2.layer.0.bn2.weight", "block2.layer.0.norm2.weight"),
        "missing: block2.layer.0.bn2.weight; unexpected: block2.layer.0.norm2.weight",
    ),
    "misshapen": (
        replaced("block3.layer.0.conv1.weight", np.zeros((64, 32, 1, 1))),
        "of another shape: block3.layer.0.conv1.weight (64, 32, 1, 1), expected (64, 32, 3, 3)",
    ),
    "another kernel in the stem": (
        replaced("conv1.weight", np.zeros((16, 3, 7, 7))),
        "of another shape: conv1.weight (16, 3, 7, 7), expected (16, 3, 3, 3)",
    ),
    "missing in a block but the first": (
        deeper_but_for_one_array,
        "WRN-16-1 for 4 classes. Received: missing: block1.layer.1.conv1.weight",
    ),
    "not finite": (
        replaced("fc.bias", [0, np.nan, 0, np.inf]),
        "Received: not finite: fc.bias",
    ),
    "head of another rank": (
        replaced("fc.weight", np.zeros((4, 64, 1, 1))),
        "Received: shape (4, 64, 1, 1)",
    ),
    "empty": (lambda state: state.clear(), "Received: keys none"),
}


@pytest.mark.parametrize(("damage", "received"), FAULTS.values(), ids=FAULTS)
def test_what_does_not_fit_is_named(damage, received):
    state = torch_state()
    damage(state)
    with pytest.raises(ValueError, match=re.escape(received)):
        converted(state)


def test_of_many_misfits_a_few_are_named():
    state = torch_state(16)
    for key in [key for key in state if key.startswith("block3.layer.1.")]:
        del state[key]
    with pytest.raises(ValueError, match="missing: block3.layer.1.bn1.weight, .* and 2 more$"):
        converted(state)
