"""Small classifiers of other architectures than the project's, to judge choices on.

    python -m experiments.small_networks --data_dir=DATA --out=small
    python -m experiments.regret --networks=small/plain-cifar10.keras,... --data_dir=DATA

Some of them settled the rule by which `detectors="auto"` chooses, others only judged it:
docs/detectors/choosing.md says which. They are trained in minutes, so that they are far from the
best of their kind.
"""

import dataclasses
import pathlib

import keras
from keras import layers

import kerasood
from kerasood.commands.common import console, run_command
from kerasood.config import ReadsData, option
from kerasood.data.open import open_source
from kerasood.names import choose
from kerasood.networks.saving import save_network

WIDTHS = (24, 48, 96)


def plain(inputs):
    """Pairs of convolutions and pooling, as in VGG."""
    for width in WIDTHS:
        for _ in range(2):
            inputs = _normalised(layers.Conv2D(width, 3, padding="same", use_bias=False)(inputs))
        inputs = layers.MaxPooling2D()(inputs)
    return layers.GlobalAveragePooling2D()(inputs)


def separable(inputs):
    """Depthwise and pointwise convolutions with capped activations, as in MobileNet."""
    inputs = _normalised(layers.Conv2D(WIDTHS[0], 3, 2, padding="same", use_bias=False)(inputs))
    for width, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        inputs = _normalised(
            layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(inputs), "relu6"
        )
        inputs = _normalised(layers.Conv2D(width, 1, use_bias=False)(inputs), "relu6")
    return layers.GlobalAveragePooling2D()(inputs)


def patches(inputs):
    """Patches, depthwise mixing and GELU, as in ConvMixer: features of both signs."""
    inputs = layers.BatchNormalization()(layers.Conv2D(128, 4, 4, activation="gelu")(inputs))
    for _ in range(6):
        mixed = layers.DepthwiseConv2D(5, padding="same", activation="gelu")(inputs)
        inputs = layers.Add()([inputs, layers.BatchNormalization()(mixed)])
        inputs = layers.BatchNormalization()(layers.Conv2D(128, 1, activation="gelu")(inputs))
    return layers.GlobalAveragePooling2D()(inputs)


def _normalised(tensor, activation="relu"):
    return layers.Activation(activation)(layers.BatchNormalization()(tensor))


ARCHITECTURES = {each.__name__: each for each in (plain, separable, patches)}


@dataclasses.dataclass(frozen=True)
class SmallNetworksConfig(ReadsData):
    """What `python -m experiments.small_networks` trains."""

    architectures: tuple[str, ...] = option(tuple(ARCHITECTURES), "Names of architectures.")
    dataset: str = option("cifar10", "What they are trained on.")
    epochs: int = option(8, "Epochs.")
    seed: int = option(1, "Seed of weights, order and augmentation.")
    data_dir: str | None = option(None, "Folder that is searched for data.")
    download: bool = option(False, "Whether missing data may be downloaded.")
    out: str = option("small", "Folder of the .keras files.")


def main(config):
    """Trains what is not trained yet, and prints accuracies."""
    train, test = (open_source(config.dataset, split, config.data) for split in ("train", "test"))
    for name in [choose("network", name, ARCHITECTURES) for name in config.architectures]:
        path = pathlib.Path(config.out) / f"{name}-{pathlib.Path(config.dataset).stem}.keras"
        if path.exists():
            continue
        network = trained(name, train, config)
        save_network(network, path)
        images, labels = test.load()
        right = network.predict(images, batch_size=500, verbose=0).argmax(-1) == labels
        console.print(f"{path}: {right.mean():.2%} of {len(labels):,} test images")


def trained(name, train, config):
    """A network of an architecture.

    Args:
        name: key of ARCHITECTURES.
        train: ImageSource.
        config: SmallNetworksConfig.
    """
    keras.utils.set_random_seed(config.seed)
    images, labels = train.load()
    pixels = layers.Input(images.shape[1:])
    features = ARCHITECTURES[name](layers.Rescaling(1 / 127.5, -1)(pixels))
    network = keras.Model(pixels, layers.Dense(train.num_classes)(features), name=name)
    return kerasood.fine_tune(
        network, images, labels, "ce", epochs=config.epochs, learning_rate=0.1,
        seed=config.seed, verbose=2,
    ).network


if __name__ == "__main__":
    run_command(SmallNetworksConfig, main)
