"""A score that is not a number is OOD, whoever answers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from tiny_models import random_images

from kerasood import export
from kerasood.detectors import Energy
from kerasood.serving import OODModel

CONSTANT = np.stack([np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)])


@keras.saving.register_keras_serializable("tests")
class PerImage(layers.Layer):
    """Divides by the deviation of the image, which a constant one does not have."""

    def call(self, values):
        centred = values - ops.mean(values, axis=-1, keepdims=True)
        return centred / ops.sqrt(ops.mean(centred * centred, axis=-1, keepdims=True))


@pytest.fixture(scope="module")
def model():
    images = keras.Input((8, 8, 3), dtype="uint8")
    x = PerImage()(layers.Flatten()(layers.Rescaling(1.0)(images)))
    keras.utils.set_random_seed(0)
    # A threshold that every number is below.
    return OODModel(keras.Model(images, layers.Dense(3)(x)), Energy(), 1e4)


def test_in_every_format(model, tmp_path):
    images = random_images((8, 8, 3))
    result = export.export_model(model, tmp_path, images=images)
    assert not result.left_out
    for path in result.paths.values():
        kind = export.FORMATS[next(k for k, p in result.paths.items() if p == path)]
        for runtime in kind.runtimes():
            outputs = export.run_exported(path, CONSTANT, runtime)
            assert np.all(np.isnan(outputs["score"])), path
            assert outputs["is_ood"].tolist() == [True, True], (path, runtime)
            assert not export.run_exported(path, images, runtime)["is_ood"].any()


def test_in_keras_and_in_a_graph(model):
    for call in (model, tf.function(model), lambda images: model.predict(np.asarray(images))):
        assert np.asarray(call(tf.constant(CONSTANT))["is_ood"]).tolist() == [True, True]


@pytest.mark.parametrize("kind", ["float16", "dynamic"])
def test_in_a_quantised_file(model, tmp_path, kind):
    path = tmp_path / "model.tflite"
    export.FORMATS["tflite"].write(model, path, {}, export.Quantization(kind))
    assert export.run_exported(path, CONSTANT)["is_ood"].tolist() == [True, True]


def test_a_file_that_takes_it_for_in_distribution_is_refused(tmp_path, monkeypatch):
    """Constant images belong to what is verified, even where no one gives any."""
    images = keras.Input((8, 8, 3), dtype="uint8")
    x = PerImage()(layers.Flatten()(layers.Rescaling(1.0)(images)))
    model = OODModel(keras.Model(images, layers.Dense(3)(x)), Energy(), 1e4)
    run = export.FORMATS["tflite"].run

    def wrong(path, images, runtime=None):
        outputs = run(path, images, runtime)
        return {**outputs, "is_ood": outputs["score"] > 1e4}

    monkeypatch.setattr(export.FORMATS["tflite"], "run", wrong)
    with pytest.raises(export.ExportMismatch, match="Expected is_ood=True for image 0"):
        export.export_model(model, tmp_path, images=random_images((8, 8, 3)), formats=["tflite"])
