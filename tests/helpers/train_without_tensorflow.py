"""Trains on a backend where TensorFlow cannot be imported; prints the histories as JSON.

Run by test_other_backends.py in a process of its own.
"""

import json
import pathlib
import sys
import tempfile

sys.modules["tensorflow"] = None

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras.ops import convert_to_numpy as to_numpy  # noqa: E402

import kerasood.detectors  # noqa: E402
from kerasood.data.splits import TrainingData  # noqa: E402
from kerasood.extractor.build import build_extractor, head_of  # noqa: E402
from kerasood.networks.augmentation import Standardize  # noqa: E402
from kerasood.networks.wide_resnet import WideResNet  # noqa: E402
from kerasood.runs import Run  # noqa: E402
from kerasood.training import loop as training  # noqa: E402
from kerasood.training import objectives  # noqa: E402
from kerasood.training.config import stage_config, train_config  # noqa: E402
from kerasood.training.optimizers import NesterovSGD  # noqa: E402

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3)).astype("uint8")
LABELS = np.arange(8) % 4
OUTLIERS = IMAGES[:5] // 2
MARGINS = {"margin_in": -4.0, "margin_out": -1.0}


def stage(**values):
    config = train_config(finetune_epochs=2, batch_size=4, crop=1, **values)
    return stage_config(config, "finetune", init="base")


def cross_entropy(logits):
    logits = np.asarray(logits, "float64")
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(8), LABELS])


def features_site():
    """Augmentation and a partial last batch through Keras's own fit."""
    network = WideResNet(10, 1, 4, image_size=8)
    trainer = training.build_trainer(network, stage(site="features"))
    trainer.compile(NesterovSGD(0.01))
    data = {"validation_data": (IMAGES, LABELS), "validation_batch_size": 8}
    history = trainer.fit(IMAGES, LABELS, batch_size=8, epochs=2, verbose=0, **data).history
    return history, network


def small_network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), dtype="uint8"),
            Standardize(),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(4),
        ]
    )


def trained(network, outliers=None, **values):
    """The training of a run, on NumPy batches, checkpoints included."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(pathlib.Path(folder), stage(**values))
        trainer = training.build_trainer(network, run.config)
        data = TrainingData((IMAGES, LABELS), None, 4, None, outliers)
        return training.fit(trainer, data, run.config, run, verbose=0)


def main():
    features, network = features_site()
    extractor = build_extractor(network)
    outputs = {name: to_numpy(part) for name, part in extractor(IMAGES).items()}
    predicted = outputs["logits"].argmax(axis=1)
    scores = {
        name: np.asarray(
            detector().fit(outputs, predicted, head_of(extractor)).score(outputs)
        ).tolist()
        for name, detector in kerasood.detectors.DETECTORS.items()
        if not detector().missing(outputs)
    }
    report = {
        "backend": keras.backend.backend(),
        "tensorflow": [name for name in sys.modules if name.startswith("tensorflow.")],
        "features": features,
        "cross_entropy": cross_entropy(outputs["logits"]),
        "outputs": {name: np.asarray(values).tolist() for name, values in outputs.items()},
        "head": [weights.tolist() for weights in head_of(extractor)],
        "energy": to_numpy(objectives.energy(outputs["logits"])).tolist(),
        "scores": scores,
        "run": trained(network, site="logits"),
        "energy_run": trained(small_network(), OUTLIERS, objective="energy", **MARGINS),
        "exposure_run": trained(small_network(), OUTLIERS, objective="outlier_exposure"),
        "logit_norm_run": trained(small_network(), objective="logit_norm"),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
