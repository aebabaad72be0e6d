"""Outputs of images of known classes and of none, and detectors fitted on them."""

import numpy as np
from detector_head import HEAD, NUM_CLASSES
from detector_twins_logits import EXAMPLE_PARAMETERS, extra_outputs

from kerasood.detectors import DETECTORS


def example_outputs(labels, seed):
    """Outputs of images of known classes; label -1 gives OOD images.

    Those show no class's feature, and more than others of the features that no class uses.
    """
    generator = np.random.default_rng(seed)
    directions = np.vstack([4 * np.eye(NUM_CLASSES, 6), np.zeros(6)])
    used = directions[labels] + generator.normal(0, 0.5, (len(labels), 6))
    unused = 2 * (labels == -1)[:, None] + generator.normal(0, 0.5, (len(labels), 2))
    features = np.abs(np.hstack([used, unused]))
    outputs = {
        "features": features,
        "logits": features @ HEAD[0] + HEAD[1],
        "hidden/early": features[:, 1:4] + generator.normal(0, 1, (len(labels), 3)),
        "hidden/late": features + generator.normal(0, 0.2, features.shape),
    }
    outputs |= extra_outputs(features)
    return {name: values.astype("float32") for name, values in outputs.items()}


LABELS = np.arange(240) % NUM_CLASSES
TRAINING = example_outputs(LABELS, seed=0)
OUTPUTS_IN = example_outputs(LABELS[:30], seed=1)
OUTPUTS_OUT = example_outputs(np.full(20, -1), seed=2)


def tolerances(detector):
    """Distances are differences of larger float32 numbers, and each compiler adds in its order."""
    return {"rtol": 1e-4, "atol": 1e-5} if detector.learns else {"rtol": 1e-6, "atol": 1e-6}


def fitted(name, outputs=TRAINING, labels=LABELS, **params):
    params = {**EXAMPLE_PARAMETERS.get(name, {}), **params}
    return DETECTORS[name](**params).fit(outputs, labels, HEAD)


def taken(outputs, rows):
    return {key: values[rows] for key, values in outputs.items()}
