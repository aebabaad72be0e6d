"""The order of training images: a function of seed and epoch, so that a resumed run repeats it."""

import numpy as np

# Sets the outliers' stream of random numbers apart from the images' of the same seed.
OUTLIER_STREAM = 0x6F7574
OUTLIERS_PER_IMAGE = 2


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


def outlier_rows(num_outliers, count, seed, first_step):
    """Yields the outliers of each training step, endlessly; every cycle visits each outlier once.

    The order is another one in every cycle, independent of the images' order of the same seed, and
    a run that starts at a later step continues as if it had not stopped.

    Args:
        num_outliers: int > 0.
        count: int > 0, outliers in a step; more than there are repeats them.
        seed: int >= 0.
        first_step: int >= 0, steps that are already done.

    Yields:
        (count,) int32.
    """
    cycle, done = divmod(first_step * count, num_outliers)
    rows = _cycle_order(num_outliers, seed, cycle)[done:]
    while True:
        while len(rows) < count:
            cycle += 1
            rows = np.concatenate([rows, _cycle_order(num_outliers, seed, cycle)])
        yield rows[:count]
        rows = rows[count:]


def paired_batches(labelled, outliers, batch_size, seed, first_epoch, epochs):
    """Yields the batches of `array_batches`, each with OUTLIERS_PER_IMAGE * batch_size outliers.

    Args:
        labelled: (images (N, H, W, 3) uint8, labels (N,) int).
        outliers: (M, H, W, 3) uint8.
        batch_size, seed, first_epoch, epochs: see `array_batches`.

    Yields:
        ({"images": (B, H, W, 3), "outliers": (2 * batch_size, H, W, 3)}, labels (B,) int32), also
        the last, partial batch of an epoch with all its outliers, as in the reference.
    """
    count = OUTLIERS_PER_IMAGE * batch_size
    first_step = first_epoch * steps_per_epoch(len(labelled[0]), batch_size)
    rows_of_steps = outlier_rows(len(outliers), count, seed, first_step)
    for images, labels in array_batches(*labelled, batch_size, seed, first_epoch, epochs):
        yield {"images": images, "outliers": outliers[next(rows_of_steps)]}, labels


def _cycle_order(num_outliers, seed, cycle):
    generator = np.random.default_rng([seed, OUTLIER_STREAM, cycle])
    return generator.permutation(num_outliers).astype("int32")
