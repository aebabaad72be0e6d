"""The order of training images: a function of seed and epoch, so that a resumed run repeats it."""

import numpy as np

# Sets the outliers' stream of random numbers apart from the images' of the same seed.
OUTLIER_STREAM = 0x6F7574


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


def _cycle_order(num_outliers, seed, cycle):
    generator = np.random.default_rng([seed, OUTLIER_STREAM, cycle])
    return generator.permutation(num_outliers).astype("int32")
