"""Of large images a model is given fewer at once, by `predict` and where files are scored."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasood.detectors import ODIN, Energy
from kerasood.scoring.models import open_scorer
from kerasood.serving import OODModel


def pooling_network(size):
    inputs = keras.Input((size, size, 3), dtype="uint8")
    features = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, layers.Dense(3)(features))


@pytest.mark.parametrize(
    ("detector", "batch_size", "passes"),
    [(Energy(), None, 2), (Energy(), 10, 5), (ODIN(), None, 5)],
)
def test_predict(detector, batch_size, passes):
    counted = []
    counter = keras.callbacks.LambdaCallback(
        on_predict_batch_end=lambda batch, logs: counted.append(batch)
    )
    OODModel(pooling_network(224), detector, 0.0).predict(
        np.zeros((50, 224, 224, 3), "uint8"), batch_size, callbacks=[counter]
    )
    assert len(counted) == passes


@pytest.mark.parametrize(
    ("size", "batch_size", "expected"),
    [(32, None, 64), (224, None, 45), (224, 100, 100), (None, None, 64)],
)
def test_files(tmp_path, size, batch_size, expected):
    OODModel(pooling_network(size), Energy(), 0.0).save(tmp_path / "model.keras")
    with open_scorer(tmp_path / "model.keras", batch_size) as scorer:
        assert scorer.batch_size == expected
