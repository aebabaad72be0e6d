"""The network that `--init` names: a run directory's, a .keras file or one of the zoo."""

import pathlib

from kerasood.errors import InvalidInputError
from kerasood.networks import zoo
from kerasood.networks.saving import load_network


def check_base(init):
    """Refuses an `--init` that names no trained network.

    Raises:
        ValueError: there is none.
    """
    name = zoo.name_in(init)
    if name is None:
        base_model_path(init)
    else:
        zoo.describe(name)


def base_model_path(path):
    """The .keras file that a path means: the file itself or the model of a run directory.

    Raises:
        ValueError: there is no trained model at `path`.
    """
    path = pathlib.Path(path)
    if path.suffix == ".keras" and path.is_file():
        return path
    if (path / "model.keras").is_file():
        return path / "model.keras"
    raise InvalidInputError(
        f"No base model at {path}. Train one with `python train.py --stage=pretrain`, or name "
        "one with --init=<run directory of a pretrain stage, .keras file or zoo:NAME>."
    )


def load_base(init):
    """The network that an `--init` names: keras.Model.

    Raises:
        ValueError: there is none.
    """
    name = zoo.name_in(init)
    return load_network(base_model_path(init)) if name is None else zoo.load(name)
