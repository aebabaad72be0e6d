"""The network that `--init` names: a run directory's, a .keras or .h5 file or one of the zoo."""

import pathlib

from kerasood.data.open import size_of_arrays
from kerasood.errors import InvalidInputError
from kerasood.extractor.preprocessing import options_for, warn_of_raw_pixels
from kerasood.networks import zoo
from kerasood.networks.saving import SUFFIXES, load_network
from kerasood.networks.wide_resnet import SHRINKS, WideResNet
from kerasood.training.config import StageConfig
from kerasood.training.run import Run
from kerasood.training.trainers.cross_entropy import by_name


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


def base_name(init):
    """The network an `--init` names, in a word that a folder can be named by."""
    network = load_base(init)
    if isinstance(network, WideResNet):
        size = network.get_config()
        return f"wrn{size['depth']}-{size['width']}"
    path = base_model_path(init)
    return path.stem if path.name != "model.keras" else network.name


def base_model_path(path):
    """The model file that a path means: the file itself or the model of a run directory.

    Raises:
        ValueError: there is no trained model at `path`.
    """
    path = pathlib.Path(path)
    if path.suffix in SUFFIXES and path.is_file():
        return path
    if (path / "model.keras").is_file():
        return path / "model.keras"
    raise InvalidInputError(
        f"No base model at {path}. Train one with `python train.py --stage=pretrain`, or name "
        "one with --init=<run directory of a pretrain stage, .keras or .h5 file or zoo:NAME>."
    )


def load_base(init):
    """The network that an `--init` names: keras.Model.

    Raises:
        ValueError: there is none.
    """
    name = zoo.name_in(init)
    return load_network(base_model_path(init)) if name is None else zoo.load(name)


def base_config(config):
    """The StageConfig of what a fine-tune starts from; None where nothing tells it any more.

    Args:
        config: StageConfig or TrainConfig.
    """
    if not config.init:
        return None
    name = zoo.name_in(config.init)
    if name is not None:
        return StageConfig.from_dict(zoo.describe(name)["config"])
    folder = pathlib.Path(config.init)
    folder = folder.parent if folder.is_file() else folder
    return Run.open(folder).config if (folder / "config.json").is_file() else None


def images_of_base(config):
    """DataOptions of a TrainConfig's images: as its base takes them, where `init` names one.

    A new network is one for the images: arrays keep their size, all else comes in 32 x 32.

    Raises:
        ValueError: no such base or data, or arrays of a size that no WideResNet takes.
    """
    if config.init:
        return options_for([load_base(config.init)], config.data)
    size = size_of_arrays(config.dataset)
    if size is None:
        return config.data
    height, width = size
    if height != width or height % SHRINKS:
        raise InvalidInputError(
            f"{config.dataset}: expected square images, the side divisible by {SHRINKS}, for a new "
            f"WideResNet. Received: {height}x{width} images"
        )
    return config.data.replace(image_size=height)


def network_of(config, data):
    """The network that a stage starts from: a new WideResNet, or the base in the stage's types.

    Args:
        config: StageConfig.
        data: TrainingData.

    Returns:
        keras.Model.

    Raises:
        ValueError: there is no base, or it does not fit the images or the configuration.
    """
    if config.init is None:
        return WideResNet(
            config.depth,
            config.width,
            data.num_classes,
            config.dropout,
            image_size=data.training[0].shape[1],
            dtype=config.precision,
        )
    network = load_base(config.init)
    _check_network(network, data, config.init)
    if isinstance(network, WideResNet):
        return network.with_dtype(config.precision, config.dropout)
    if config.dropout is not None:
        raise InvalidInputError(
            "Expected no --finetune_dropout for a model that is no WideResNet "
            f"({config.init}): it keeps its own. Received: {config.dropout:g}"
        )
    if config.precision != "float32":
        raise InvalidInputError(
            f"Expected --precision=float32 for a model that is no WideResNet ({config.init}): "
            f"its layers keep the types they were made with. Received: {config.precision}"
        )
    return network


def _check_network(network, data, init):
    images = data.training[0]
    expected = ((None, *images.shape[1:]), (None, data.num_classes))
    (_, *size), (_, *outputs) = network.input_shape, by_name(network.output_shape)["logits"]
    takes = len(size) == 3 and all(
        side in (None, given) for side, given in zip(size, images.shape[1:], strict=True)
    )
    # One logit or sigmoid is that of the second class of two.
    if not takes or outputs not in ([data.num_classes], [1] if data.num_classes == 2 else None):
        raise InvalidInputError(
            f"Expected a model from images {expected[0]} to logits {expected[1]}. Received: "
            f"{network.input_shape} to {network.output_shape} in {init}"
        )
    warn_of_raw_pixels(network)
