"""Loads saved OODModels and prints how far their scores are from those beside them, relatively."""

import json
import pathlib
import sys

import classifiers  # noqa: F401  registers its classes
import keras
import numpy as np

import kerasood  # noqa: F401  registers OODModel

differences = {}
for path in map(pathlib.Path, sys.argv[1:]):
    expected = np.load(path.with_suffix(".npz"))
    scores = keras.saving.load_model(path).predict(expected["images"])["score"]
    differences[path.stem] = float(np.max(np.abs(scores / expected["score"] - 1)))
print(json.dumps(differences))
