"""The outlier-exposure code's PyTorch WideResNet -> WideResNet, by the keys of its state dict."""

import re

import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.networks.augmentation import CIFAR_MEAN, CIFAR_STD
from kerasood.networks.wide_resnet import WideResNet

# What a variable of ours is called there.
_TORCH_NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# And what a layer of a block is called there.
_TORCH_PARTS = {
    "1_bn": "bn1",
    "conv1": "conv1",
    "2_bn": "bn2",
    "conv2": "conv2",
    "shortcut": "convShortcut",
}
# Torch's axes in our order: OIHW -> HWIO, (K, D) -> (D, K).
_AXES = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
_NUM_NAMED = 8


def wide_resnet_from_torch(
    state, dropout=0.3, image_size=32, mean=CIFAR_MEAN, std=CIFAR_STD
):
    """Builds the WideResNet that computes what a PyTorch state dict's network computes.

    Depth, width and number of classes follow from the arrays. Both networks are alike in what the
    arrays do not say: batch norm's epsilon 1e-5, symmetric padding under stride 2, and batch norm
    and ReLU in front of both branches where the channels change.

    Args:
        state: {key: array}, as `read_state_dict` gives; the keys may all begin with "module.".
        dropout: float in [0, 1), for further training; a state dict does not say.
        image_size: int, height and width in pixels, divisible by 4.
        mean: float per channel, pixels 0-255, that its images were normalised with; for
            torchvision's `Normalize(0.5, 0.5)` it is 127.5.
        std: float per channel, pixels 0-255.

    Returns:
        WideResNet in float32.

    Raises:
        ValueError: keys are missing, unexpected, of another shape or not finite, all of which are
            named; or mean and std seem to be on another scale.

    Reference:
        `models/wrn.py` of the outlier-exposure code, which the energy score's code shares.
    """
    if max((*mean, *std), default=0) <= 1:
        raise InvalidInputError(
            "Expected mean and std for pixels 0-255, 255 times those for pixels 0-1. "
            f"Received: mean={tuple(mean)}, std={tuple(std)}"
        )
    state = _without_prefix(state)
    depth, width, num_classes = _size(state)
    network = WideResNet(
        depth, width, num_classes, dropout, image_size, mean, std, dtype="float32"
    )
    variables = _variables_by_key(network)
    _check(state, variables, f"WRN-{depth}-{width} for {num_classes} classes")
    for key, variable in variables.items():
        variable.assign(np.transpose(state[key], _AXES[state[key].ndim]))
    return network


def _without_prefix(state):
    """The state dict of the network inside `DataParallel`."""
    if not all(key.startswith("module.") for key in state):
        return state
    return {key.removeprefix("module."): array for key, array in state.items()}


def _size(state):
    """Returns depth, width and number of classes."""
    first_block, head = "block1.layer.0.conv1.weight", "fc.weight"
    for key, rank in ((first_block, 4), (head, 2)):
        if key not in state or state[key].ndim != rank:
            found = f"shape {state[key].shape}" if key in state else f"keys {_listed(state)}"
            raise InvalidInputError(
                "Expected the state dict of the outlier-exposure code's WideResNet, with "
                f"{key} of {rank} axes. Received: {found}"
            )
    blocks = {found[1] for key in state if (found := re.match(r"block\d\.layer\.(\d+)\.", key))}
    return 6 * len(blocks) + 4, max(1, len(state[first_block]) // 16), len(state[head])


def _variables_by_key(network):
    """{key of the state dict: variable of the network}."""
    modules = {"conv1": "stem", "bn1": "final_bn", "fc": "logits"}
    for layer in network.layers:
        found = re.fullmatch(rf"stage(\d)_block(\d+)_({'|'.join(_TORCH_PARTS)})", layer.name)
        if found:
            stage, block, part = found.groups()
            modules[f"block{stage}.layer.{int(block) - 1}.{_TORCH_PARTS[part]}"] = layer.name
    return {
        f"{module}.{_TORCH_NAMES[variable.name]}": variable
        for module, name in modules.items()
        for variable in network.get_layer(name).weights
    }


def _check(state, variables, name):
    shapes = {key: _torch_shape(variable.shape) for key, variable in variables.items()}
    present = [key for key in shapes if key in state]
    problems = {
        "missing": [key for key in shapes if key not in state],
        "unexpected": [
            # A counter that older releases did not write and that nothing here needs.
            key for key in state if key not in shapes and not key.endswith("num_batches_tracked")
        ],
        "of another shape": [
            f"{key} {state[key].shape}, expected {shapes[key]}"
            for key in present
            if state[key].shape != shapes[key]
        ],
        "not finite": [key for key in present if not np.all(np.isfinite(state[key]))],
    }
    if any(problems.values()):
        listed = "; ".join(f"{kind}: {_listed(keys)}" for kind, keys in problems.items() if keys)
        raise InvalidInputError(f"Expected the state dict of a {name}. Received: {listed}")


def _torch_shape(shape):
    return tuple(shape[axis] for axis in np.argsort(_AXES[len(shape)]))


def _listed(keys):
    """The first few, and how many more there are."""
    keys = list(keys)
    more = [f"and {len(keys) - _NUM_NAMED} more"] if len(keys) > _NUM_NAMED else []
    return ", ".join([*keys[:_NUM_NAMED], *more]) or "none"
