"""tf.data of uint8 training images: order, batching, prefetch. No floats here."""
import numpy as np
import tensorflow as tf

from kerasood.data.order import array_batches, steps_per_epoch


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
    if images.dtype != np.uint8 or len(images) != len(labels) or not len(images):
        raise ValueError(
            "Expected uint8 images and as many labels, at least one. Received: "
            f"images.dtype={images.dtype}, len(images)={len(images)}, len(labels)={len(labels)}"
        )
    dataset = tf.data.Dataset.from_generator(
        lambda: array_batches(images, labels, batch_size, seed, first_epoch, epochs),
        output_signature=(
            tf.TensorSpec((None, *images.shape[1:]), tf.uint8),
            tf.TensorSpec((None,), tf.int32),
        ),
    )
    num_batches = max(0, epochs - first_epoch) * steps_per_epoch(len(images), batch_size)
    cardinality = tf.data.experimental.assert_cardinality(num_batches)
    return dataset.apply(cardinality).prefetch(tf.data.AUTOTUNE)
