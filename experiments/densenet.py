"""DenseNet-BC for 32x32 images, and published weights for it as plain arrays."""

import keras
import numpy as np
from keras import layers

from kerasood.errors import InvalidInputError
from kerasood.networks.augmentation import Standardize
from kerasood.networks.batch_norm import BatchNormalization

# Pixels 0-255. Not the energy code's deviations (63.0, 62.1, 66.7): with those the CIFAR-10 network
# is right in 94.03 % instead of its published 94.54.
MEAN = (125.307, 122.961, 113.8575)
STD = (51.5865, 50.847, 51.255)
BLOCK_LAYERS = 16
GROWTH = 12
# What a variable is called in a state dict.
TORCH_NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Torch's axes in our order: OIHW -> HWIO, (K, D) -> (D, K).
AXES = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}


def densenet_bc(num_classes):
    """DenseNet-BC of depth 100, growth 12 and reduction 0.5.

    Args:
        num_classes: int >= 2.

    Returns:
        keras.Model, uint8 (N, 32, 32, 3) -> logits float32 (N, num_classes), whose layer
        "features" gives the pooled features (N, 342).

    Reference:
        Huang et al., "Densely Connected Convolutional Networks", CVPR 2017.
    """
    images = keras.Input((32, 32, len(MEAN)), dtype="uint8", name="images")
    x = Standardize(MEAN, STD, name="standardize")(images)
    x = _convolution(2 * GROWTH, 3, "conv1")(x)
    for block in (1, 2, 3):
        for number in range(BLOCK_LAYERS):
            x = _bottleneck(x, f"block{block}_layer_{number}")
        if block < 3:
            x = _transition(x, f"trans{block}")
    features = layers.GlobalAveragePooling2D(name="features")(_active(x, "bn1"))
    return keras.Model(images, layers.Dense(num_classes, name="fc")(features), name="densenet_bc")


def load_arrays(network, path):
    """Puts the arrays of a PyTorch state dict into a network of `densenet_bc`.

    Args:
        network: keras.Model; changed in place.
        path: str or Path of an .npz file, {key: array}.

    Raises:
        InvalidInputError: keys or shapes are not this network's.
    """
    with np.load(path, allow_pickle=False) as arrays:
        state = {key: arrays[key] for key in arrays.files if "num_batches" not in key}
    variables = {
        f"{layer.name.replace('_', '.')}.{TORCH_NAMES[variable.name]}": variable
        for layer in network.layers
        for variable in layer.weights
    }
    if differing := sorted(state.keys() ^ variables.keys()):
        raise InvalidInputError(
            f"Expected the state dict of a {network.name}. Received: {differing[:5]} in one alone"
        )
    for key, variable in variables.items():
        variable.assign(np.transpose(state[key], AXES[state[key].ndim]))


def published_network(path):
    """The network of published arrays.

    Args:
        path: str or Path of an .npz file; its "fc.bias" (K,) tells the number of classes.

    Returns:
        keras.Model of `densenet_bc`.
    """
    with np.load(path, allow_pickle=False) as arrays:
        num_classes = len(arrays["fc.bias"])
    network = densenet_bc(num_classes)
    load_arrays(network, path)
    return network


def _bottleneck(x, name):
    new = _convolution(4 * GROWTH, 1, f"{name}_conv1")(_active(x, f"{name}_bn1"))
    new = _convolution(GROWTH, 3, f"{name}_conv2")(_active(new, f"{name}_bn2"))
    return layers.Concatenate(name=f"{name}_concatenate")([x, new])


def _transition(x, name):
    x = _convolution(x.shape[-1] // 2, 1, f"{name}_conv1")(_active(x, f"{name}_bn1"))
    return layers.AveragePooling2D(2, name=f"{name}_pool")(x)


def _active(x, name):
    x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _convolution(channels, size, name):
    return layers.Conv2D(channels, size, padding="same", use_bias=False, name=name)
