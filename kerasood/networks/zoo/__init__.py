"""Trained networks that come with the package, each with how it was made and how good it is.

An entry is two files in `networks/`: NAME.json says everything about the network, NAME.npz holds
its weights. Nothing is downloaded.
"""

import pathlib

from kerasood.files import read_json
from kerasood.names import choose
from kerasood.networks.wide_resnet import WideResNet
from kerasood.networks.zoo.weights import read_weights

__all__ = ["FOLDER", "PREFIX", "describe", "load", "name_in", "names"]

FOLDER = pathlib.Path(__file__).parent / "networks"
# What stands before a name where a command takes paths too.
PREFIX = "zoo:"


def names() -> tuple[str, ...]:
    """The names of all networks, sorted: tuple of str."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def describe(name: str) -> dict:
    """Facts about a network.

    Args:
        name: str, one of `names()`.

    Returns:
        dict: "summary", "of_the_paper" (whether network and epochs are the paper's), "dataset",
        "base" (the entry it was fine-tuned from, or None), "network" (arguments of WideResNet),
        "parameters", "epochs" (by stage), "config" (the fields of its StageConfig), "history" (a
        dict per epoch), "accuracy" (of the weights as `load` gives them, and of those before
        rounding, on "num_images" test images), "evaluation" (the energy on OOD sets, or None),
        "weights" (file, size and hashes), "command", "commit", "versions", "images".

    Raises:
        ValueError: there is no such network, or its description is damaged.
    """
    return read_json(FOLDER / f"{choose('network of the zoo', name, names())}.json")


def load(name: str) -> WideResNet:
    """Builds a network and gives it its weights.

    Args:
        name: str, one of `names()`.

    Returns:
        WideResNet, computing in float32: uint8 images (N, H, W, 3) -> logits (N, K).

    Raises:
        ValueError: there is no such network, or its file is not the one that was published.
        FileNotFoundError: its weights are missing.
    """
    entry = describe(name)
    network = WideResNet(**entry["network"], dtype="float32")
    network.set_weights(
        read_weights(FOLDER / f"{name}.npz", network.weights, entry["weights"]["sha256"])
    )
    return network


def name_in(text: str) -> str | None:
    """The name in "zoo:NAME", or None for anything else, such as a path."""
    text = str(text)
    return text.removeprefix(PREFIX) if text.startswith(PREFIX) else None
