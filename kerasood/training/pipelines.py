"""tf.data of uint8 training images: order, batching, prefetch. No floats here."""
import numpy as np
import tensorflow as tf

from kerasood.errors import InvalidInputError
from kerasood.training.order import array_batches, paired_batches, steps_per_epoch

_LABELS = tf.TensorSpec((None,), tf.int32)


def training_batches(
    images, labels, batch_size: int, seed: int, first_epoch: int, epochs: int
) -> tf.data.Dataset:
    """Streams the batches of `array_batches`, prepared while the step before them runs.

    The images stay one NumPy array: neither copied into TensorFlow nor written into a graph.

    Args:
        images: uint8 `(N, S, S, 3)`, 0-255.
        labels: int `(N,)`.
        batch_size: images per batch; the last batch of an epoch may hold fewer.
        seed: of the orders.
        first_epoch: epoch to start with, counted from 0.
        epochs: number of epochs of the whole run.

    Returns:
        tf.data.Dataset of (uint8 `(B, S, S, 3)`, int32 `(B,)`), of known cardinality.
    """
    _check(images, labels)
    order = (batch_size, seed, first_epoch, epochs)
    return _streamed(
        lambda: array_batches(images, labels, *order),
        (_spec_of(images), _LABELS),
        _num_batches(len(images), batch_size, first_epoch, epochs),
    )


def paired_training_batches(
    labelled, outliers, batch_size: int, seed: int, first_epoch: int, epochs: int
) -> tf.data.Dataset:
    """Streams the batches of `paired_batches`, prepared while the step before them runs.

    Args:
        labelled: (images uint8 `(N, S, S, 3)`, labels int `(N,)`).
        outliers: uint8 `(M, S, S, 3)`.
        batch_size, seed, first_epoch, epochs: see `training_batches`.

    Returns:
        tf.data.Dataset of ({"images": uint8 `(B, S, S, 3)`, "outliers": uint8 `(M, S, S, 3)`},
        int32 `(B,)`), of known cardinality.
    """
    _check(*labelled)
    if outliers.dtype != np.uint8 or not len(outliers):
        raise InvalidInputError(
            "Expected uint8 outliers, at least one. Received: "
            f"outliers.dtype={outliers.dtype}, len(outliers)={len(outliers)}"
        )
    order = (batch_size, seed, first_epoch, epochs)
    return _streamed(
        lambda: paired_batches(labelled, outliers, *order),
        ({"images": _spec_of(labelled[0]), "outliers": _spec_of(outliers)}, _LABELS),
        _num_batches(len(labelled[0]), batch_size, first_epoch, epochs),
    )


def _spec_of(images):
    return tf.TensorSpec((None, *images.shape[1:]), tf.uint8)


def _num_batches(num_images, batch_size, first_epoch, epochs):
    return max(0, epochs - first_epoch) * steps_per_epoch(num_images, batch_size)


def _streamed(batches, signature, num_batches):
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    cardinality = tf.data.experimental.assert_cardinality(num_batches)
    return dataset.apply(cardinality).prefetch(tf.data.AUTOTUNE)


def _check(images, labels):
    if images.dtype != np.uint8 or len(images) != len(labels) or not len(images):
        raise InvalidInputError(
            "Expected uint8 images and as many labels, at least one. Received: "
            f"images.dtype={images.dtype}, len(images)={len(images)}, len(labels)={len(labels)}"
        )
