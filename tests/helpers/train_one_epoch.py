"""One epoch on whichever backend Keras has, from given weights in a given order.

Imported by test_backend_parity.py, and run by it where TensorFlow cannot be imported:
train_one_epoch.py WEIGHTS FOLDER.
"""

import pathlib
import sys
import tempfile

if __name__ == "__main__":
    sys.modules["tensorflow"] = None

import keras  # noqa: E402
import numpy as np  # noqa: E402

from kerasood.data.splits import TrainingData  # noqa: E402
from kerasood.networks.wide_resnet import WideResNet  # noqa: E402
from kerasood.runs import Run  # noqa: E402
from kerasood.training import loop as training  # noqa: E402
from kerasood.training.config import stage_config, train_config  # noqa: E402

# In batches of 8: 25 steps, or 26 of which the last is partial.
OBJECTIVES = {
    "ce": (204, {"objective": "ce"}),
    "sparsity-logits": (200, {"objective": "sparsity", "site": "logits"}),
    "sparsity-features": (200, {"objective": "sparsity", "site": "features"}),
}


def new_network():
    return WideResNet(10, 1, 4, dropout=0.0, image_size=16)


def images_of(num_images):
    """Noise that is brighter the larger the label is."""
    labels = np.arange(num_images, dtype="int32") % 4
    noise = np.random.default_rng(0).integers(0, 160, (num_images, 16, 16, 3))
    return (noise + 30 * labels[:, None, None, None]).astype("uint8"), labels


def trained_weights(name, weights, **values):
    """All weights of the network, batch statistics included, after an epoch from `weights`."""
    num_images, objective = OBJECTIVES[name]
    recipe = {"finetune_learning_rate": 0.02, "finetune_epochs": 1, "crop": 0, "flip": False}
    config = train_config(batch_size=8, **{**recipe, **objective, **values})
    config = stage_config(config, "finetune", init="base")
    network = new_network()
    network.set_weights(weights)
    data = TrainingData(images_of(num_images), None, 4, None)
    trainer = training.build_trainer(network, config)
    with tempfile.TemporaryDirectory() as folder:
        training.fit(trainer, data, config, Run(pathlib.Path(folder), config), verbose=0)
    return network.get_weights()


def main(path, folder):
    with np.load(path) as stored:
        weights = [stored[name] for name in stored.files]
    for name in OBJECTIVES:
        file = pathlib.Path(folder, f"{name}-{keras.backend.backend()}.npz")
        np.savez(file, *trained_weights(name, weights))


if __name__ == "__main__":
    main(*sys.argv[1:])
