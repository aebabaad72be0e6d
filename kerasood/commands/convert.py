"""`kerasood-convert`: a published PyTorch checkpoint as a .keras file."""

import pathlib

from kerasood.commands.common import console
from kerasood.errors import InvalidInputError
from kerasood.networks.saving import save_network
from kerasood.networks.torch_files import read_state_dict
from kerasood.networks.torch_weights import wide_resnet_from_torch


def convert(config):
    """Converts the checkpoint of a ConvertConfig.

    Args:
        config: ConvertConfig.

    Returns:
        Path of the .keras file.

    Raises:
        ValueError: the checkpoint is none of the supported network, or the file exists.
    """
    out = _checked_out(config)
    network = wide_resnet_from_torch(
        read_state_dict(config.checkpoint),
        config.dropout,
        config.image_size,
        config.mean,
        config.std,
    )
    save_network(network, out)
    size = network.get_config()
    console.print(
        f"WRN-{size['depth']}-{size['width']}, {size['num_classes']} classes, "
        f"{network.count_params():,} parameters; pixels 0-255 minus {_in_brackets(config.mean)} "
        f"over {_in_brackets(config.std)}\nsaved {out}\n"
        f"fine-tune it with: python train.py --stage=finetune --init={out}",
    )
    return out


def _checked_out(config):
    if not config.checkpoint or not config.out:
        raise InvalidInputError(
            "Expected --checkpoint=<PyTorch or .safetensors file> and --out=<.keras file>. "
            f"Received: checkpoint={config.checkpoint!r}, out={config.out!r}"
        )
    out = pathlib.Path(config.out)
    if out.suffix != ".keras":
        raise InvalidInputError(f"Expected --out to end in .keras. Received: {out}")
    if out.exists():
        raise InvalidInputError(f"Expected --out to be a new file. Received: {out}, which exists")
    return out


def _in_brackets(values):
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
