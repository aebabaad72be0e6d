"""Trains objectives for two epochs on the backend that Keras has; prints their histories as JSON.

Run by test_method_backends.py in a process of its own: train_methods.py OBJECTIVE...
"""

import json
import pathlib
import sys
import tempfile

sys.modules["tensorflow"] = None

import keras  # noqa: E402
from method_trainers import OUTLIERS, PARAMETERS  # noqa: E402
from two_layer_network import IMAGES, LABELS  # noqa: E402

from kerasood.data.splits import TrainingData  # noqa: E402
from kerasood.networks.augmentation import Standardize  # noqa: E402
from kerasood.runs import Run  # noqa: E402
from kerasood.training import OBJECTIVES, loop  # noqa: E402
from kerasood.training.config import stage_config, train_config  # noqa: E402


def network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), dtype="uint8"),
            Standardize(),
            keras.layers.Flatten(),
            keras.layers.Dense(6, activation="relu"),
            keras.layers.Dense(4),
        ]
    )


def history(objective):
    parameters = PARAMETERS.get(objective, {})
    config = train_config(objective=objective, batch_size=6, finetune_epochs=2, **parameters)
    config = stage_config(config, "finetune", init="base")
    kind = OBJECTIVES[objective]
    trainer = loop.build_trainer(kind.network_for(network(), config.parameters), config)
    outliers = OUTLIERS if kind.needs_outliers else None
    data = TrainingData((IMAGES, LABELS), (IMAGES, LABELS), 4, None, outliers)
    with tempfile.TemporaryDirectory() as folder:
        return loop.fit(trainer, data, config, Run(pathlib.Path(folder), config), verbose=0)


print(json.dumps({objective: history(objective) for objective in sys.argv[1:]}))
