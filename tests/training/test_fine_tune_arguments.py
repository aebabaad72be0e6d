"""Arguments of `fine_tune` that nothing can be trained on: one clear line each."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tiny_models import random_images

import kerasood
from kerasood.errors import InvalidInputError

IMAGES = random_images((16, 16, 3), 24)
LABELS = np.arange(24) % 4
SCALED = IMAGES.astype("float32") / 255


def network(shape=(16, 16, 3)):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input(shape), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(4)]
    )


def fine_tune(*data, model=None, **values):
    return kerasood.fine_tune(
        model or network(), *data, **{"epochs": 1, "batch_size": 16, "verbose": 0, **values}
    )


def dataset(images=IMAGES, labels=LABELS, batch=8):
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    return data.batch(batch) if batch else data


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, step):
        return IMAGES, LABELS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "Expected epochs >= 1, a whole number. Received: epochs=0"),
        ({"epochs": 1.5}, "Expected epochs >= 1, a whole number. Received: epochs=1.5"),
        ({"batch_size": 0}, "Expected batch_size >= 1, a whole number. Received: batch_size=0"),
        ({"learning_rate": 0}, "Expected learning_rate > 0"),
        ({"seed": -1}, "Expected seed >= 0, a whole number. Received: seed=-1"),
        ({"validation_data": dataset().repeat()}, "expected data of one pass.*without .repeat()"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(values, message):
    with pytest.raises(InvalidInputError, match=message):
        fine_tune(IMAGES, LABELS, **values)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((IMAGES[:0], LABELS[:0]), r"at least one.*Received: dtype=uint8, shape=\(0, 16, 16, 3\)"),
        ((dataset(IMAGES[..., 0]),), r"augmentation=None. Received: shape=\(24, 16, 16\)"),
        ((dataset(batch=None),), r"use dataset.batch\(32\). Received: images of shape=\(16, 16, 3"),
        ((dataset(labels=np.eye(4)[LABELS], batch=None),), r"use dataset.batch\(32\)"),
        (((batch for batch in [(IMAGES, LABELS)]),), "start anew.*Received: a generator"),
        ((IMAGES[:, :8], LABELS), r"shape \(16, 16, 3\), which.*Received: shape=\(8, 16, 3\)"),
        ((dataset(IMAGES[:, :8]),), r"shape \(16, 16, 3\), which.*Received: shape=\(8, 16, 3\)"),
        ((dataset().repeat(),), r"training data: .* without .repeat\(\). Received: an endless"),
        ((Endless(workers=1),), "Received: an endless Endless"),
        ((dataset().take(0),), r"Expected \(images, labels\) batches. Received: none"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused(data, message):
    with pytest.raises(InvalidInputError, match=message):
        fine_tune(*data)


def test_images_without_channels_train_unaugmented():
    data = dataset(IMAGES[..., 0])
    history = fine_tune(data, model=network((16, 16)), augmentation=None).history.history
    assert np.isfinite(history["loss"]).all()


def test_validation_is_taken_in_a_list_of_batches():
    batches = [(IMAGES[:16], LABELS[:16]), (IMAGES[16:], np.eye(4)[LABELS[16:]].argmax(axis=1))]
    first, second = (
        fine_tune(IMAGES, LABELS, validation_data=data).history.history["val_loss"]
        for data in (batches, (IMAGES, LABELS))
    )
    assert first == second


@pytest.mark.parametrize(
    ("data", "outliers", "message"),
    [
        ((dataset(SCALED),), IMAGES, "are, float32 .*Received: dtype=uint8.* from 0 to 1"),
        ((dataset(SCALED),), SCALED.astype("float64"), "Received: dtype=float64"),
        ((dataset(),), SCALED, "are, uint8 .*Received: dtype=float32"),
        ((IMAGES, LABELS), IMAGES[:, :8], r"uint8 \(16, 16, 3\).*shape=\(24, 8, 16, 3\)"),
        ((dataset(),), IMAGES[:, :8], r"uint8 \(16, 16, 3\).*shape=\(24, 8, 16, 3\)"),
        ((dataset(),), IMAGES[:0], r"at least one. Received: dtype=uint8, shape=\(0, "),
        ((IMAGES, LABELS), list(IMAGES), "Expected an array of outliers.*Received: a list"),
        ((IMAGES, LABELS), dataset(), "Expected an array of outliers.*Received: a _Batch"),
    ],
)
def test_outliers_unlike_the_images_are_refused(data, outliers, message):
    with pytest.raises(InvalidInputError, match=message):
        fine_tune(*data, objective="outlier_exposure", outliers=outliers)


@pytest.mark.parametrize(
    ("images", "outliers"), [(IMAGES.astype("float32"), IMAGES), (SCALED, SCALED)]
)
def test_outliers_may_be_float_or_pixels_beside_floats_of_the_same_range(images, outliers):
    values = {"objective": "outlier_exposure", "outliers": outliers}
    history = fine_tune(dataset(images), **values).history.history
    assert np.isfinite(history["loss"]).all()
