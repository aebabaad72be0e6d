"""The order of training images: a function of seed and epoch, so that a resumed run repeats it."""

import numpy as np


def epoch_order(num_images, seed, epoch):
    """The order in which an epoch visits the images.

    Args:
        num_images: int > 0.
        seed: int >= 0.
        epoch: int >= 0, counted from the start of training.

    Returns:
        (num_images,) int32, a permutation.
    """
    return np.random.default_rng([seed, epoch]).permutation(num_images).astype("int32")


def steps_per_epoch(num_images, batch_size):
    """Batches in an epoch, the last of which may be smaller."""
    return -(-num_images // batch_size)


def array_batches(images, labels, batch_size, seed, first_epoch, epochs):
    """Yields the training batches of epochs [first_epoch, epochs) without TensorFlow.

    Args:
        images: (N, H, W, 3) uint8.
        labels: (N,) int.
        batch_size: int > 0.
        seed: int >= 0 of the order.
        first_epoch: int, epochs that are already done.
        epochs: int, epochs in all.

    Yields:
        (images (B, H, W, 3) uint8, labels (B,) int32), the last batch of an epoch partial.
    """
    for epoch in range(first_epoch, epochs):
        order = epoch_order(len(images), seed, epoch)
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield images[chosen], labels[chosen].astype("int32")
