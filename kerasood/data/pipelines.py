"""tf.data pipelines of uint8 images: training order, batching, prefetch. No floats here."""
import numpy as np
import tensorflow as tf

from kerasood.data.order import epoch_order, steps_per_epoch


def training_batches(
    images, labels, batch_size: int, seed: int, first_epoch: int, epochs: int
) -> tf.data.Dataset:
    """Streams the epochs `first_epoch` to `epochs - 1`, each image once an epoch, in epoch order.

    The images stay one NumPy array: batches are gathered from it in Python, so it is neither
    copied into TensorFlow nor written into a graph.

    Args:
        images: uint8 `(N, S, S, 3)`, 0-255.
        labels: int32 `(N,)`.
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
    steps = steps_per_epoch(len(images), batch_size)

    def epoch_batches(epoch):
        order = tf.numpy_function(
            lambda epoch: epoch_order(len(images), seed, int(epoch)), [epoch], tf.int32
        )
        starts = tf.data.Dataset.range(0, steps * batch_size, batch_size)
        return starts.map(lambda start: order[start : start + batch_size])

    def gather(rows):
        batch = tf.numpy_function(
            lambda rows: (images[rows], labels[rows].astype(np.int32)), [rows], (tf.uint8, tf.int32)
        )
        batch_images = tf.ensure_shape(batch[0], (None, *images.shape[1:]))
        return batch_images, tf.ensure_shape(batch[1], (None,))

    dataset = tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_batches)
    dataset = dataset.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    cardinality = tf.data.experimental.assert_cardinality(max(0, epochs - first_epoch) * steps)
    return dataset.apply(cardinality).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(source, batch_size: int) -> tf.data.Dataset:
    """Streams the images of an ImageSource, in order and in bounded memory.

    Args:
        source: ImageSource.
        batch_size: images per batch; only the last batch may hold fewer.

    Returns:
        tf.data.Dataset of uint8 `(B, S, S, 3)`, prefetched.
    """
    size = source.image_size
    return tf.data.Dataset.from_generator(
        lambda: (images for images, _ in source.batches(batch_size)),
        output_signature=tf.TensorSpec((None, size, size, 3), tf.uint8),
    ).prefetch(tf.data.AUTOTUNE)
