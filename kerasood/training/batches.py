"""Training data as `keras.Model.fit` takes it: what a step sees follows from seed and epoch."""

import itertools

import keras
import numpy as np

from kerasood.data.adapters import refuse_endless
from kerasood.errors import InvalidInputError
from kerasood.training.parameters import Described
from kerasood.training.shuffling import epoch_order, outlier_rows, steps_per_epoch


class Batches(keras.utils.PyDataset):
    """Batches of arrays, shuffled anew in every epoch; an epoch's last batch may be partial.

    Args:
        images: (N, H, W, C) uint8, or rows (N,) int32 of images that are elsewhere.
        labels: (N,) int.
        batch_size: int > 0.
        seed: int >= 0, of the order.
        outliers: (M, H, W, C) of the images' type, or None.
        kind: class of the objective, which says what its batches hold.

    Items: (images (B, H, W, C), labels (B,) int32); with outliers
    ({"images": ..., "outliers": (2 * batch_size, H, W, C)}, labels), the last, partial batch of an
    epoch with all its outliers too, as in the reference. How many outliers there are to an image
    says `kind.outliers_per_image`; where `kind.needs_rows`, "rows" (B,) and "rows_out" say which
    images and outliers they are.

    Raises:
        ValueError: no images, another number of labels, or images of different types.
    """

    def __init__(self, images, labels, batch_size, seed, outliers=None, kind=Described):
        super().__init__()
        if not len(images) or len(images) != len(labels):
            raise InvalidInputError(
                "Expected images and as many labels, at least one. Received: "
                f"len(images)={len(images)}, len(labels)={len(labels)}"
            )
        if outliers is not None and (not len(outliers) or outliers.dtype != images.dtype):
            raise InvalidInputError(
                f"Expected outliers of the images' type, {images.dtype}, at least one. Received: "
                f"outliers.dtype={outliers.dtype}, len(outliers)={len(outliers)}"
            )
        self.images = images
        self.labels = np.asarray(labels).astype("int32")
        self.batch_size = batch_size
        self.seed = seed
        self.outliers = outliers
        self.kind = kind
        self.begin_epoch(0)

    def begin_epoch(self, epoch, pool=None):
        """Puts images and outliers in an epoch's order.

        Args:
            epoch: int >= 0, counted from the start of training.
            pool: (P,) int rows of the outliers that take part, or None for all.
        """
        self.rows = epoch_order(len(self.images), self.seed, epoch)
        if self.outliers is None:
            return
        pool = np.arange(len(self.outliers), dtype="int32") if pool is None else pool
        count = self.kind.outliers_per_image * self.batch_size
        steps = outlier_rows(len(pool), count, self.seed, epoch * len(self))
        self.outlier_rows = [pool[rows] for rows in itertools.islice(steps, len(self))]

    @property
    def num_images(self):
        return len(self.images)

    def __len__(self):
        return steps_per_epoch(len(self.images), self.batch_size)

    def __getitem__(self, step):
        rows = self.rows[step * self.batch_size : (step + 1) * self.batch_size]
        images = self.images[rows]
        if self.outliers is not None:
            rows_out = self.outlier_rows[step]
            images = {"images": images, "outliers": self.outliers[rows_out]}
            if self.kind.needs_rows:
                images |= {"rows": rows, "rows_out": rows_out}
        return images, self.labels[rows]


class PairedBatches:
    """Keras data of (images, labels), endlessly, each batch with outliers beside its images.

    Args:
        data: tf.data.Dataset, PyDataset or another iterable of batches that starts anew.
        outliers: (M, H, W, C) uint8.
        count: int > 0, outliers in a batch.
        seed: int >= 0, of the outliers' order.
        num_images: int, of a pass over `data`, about.
    """

    def __init__(self, data, outliers, count, seed, num_images):
        self.data = data
        self.outliers = outliers
        self.pool = None if outliers is None else np.arange(len(outliers))
        self.count = count
        self.seed = seed
        self.num_images = num_images
        self.generator = np.random.default_rng(seed)

    def begin_epoch(self, epoch, pool=None):
        """Takes the rows of a pool alone from now on."""
        if pool is not None:
            self.pool = np.asarray(pool)

    def batches(self):
        """Yields ({"images", "outliers"}, labels), or (images, labels) without outliers."""
        while True:
            for images, labels in each_batch(self.data):
                if self.outliers is None:
                    yield images, labels
                    continue
                rows = self.generator.choice(self.pool, self.count)
                yield {"images": images, "outliers": self.outliers[rows]}, labels


def each_batch(data):
    """Yields (images, labels) as arrays, of one pass over Keras data, which must have an end."""
    refuse_endless(data, "training data")
    batches = data
    if isinstance(data, keras.utils.PyDataset):
        batches = (data[step] for step in range(data.num_batches))
    for batch in batches:
        images, labels, weight = keras.utils.unpack_x_y_sample_weight(batch)
        if weight is not None or labels is None:
            raise InvalidInputError(
                "Expected (images, labels) batches. Received: "
                + ("no labels" if labels is None else "a sample_weight as well")
            )
        yield keras.ops.convert_to_numpy(images), keras.ops.convert_to_numpy(labels)


def num_batches(data, batch_size=32):
    """Number of batches of one pass over training data; None where only a pass could tell.

    Raises:
        ValueError: the data never end.
    """
    refuse_endless(data, "training data")
    is_py = isinstance(data, keras.utils.PyDataset)
    if is_py or hasattr(data, "cardinality"):
        count = data.num_batches if is_py else int(data.cardinality())
        return count if count > 0 else None
    if hasattr(data, "shape"):
        return steps_per_epoch(len(data), batch_size)
    return len(data) if hasattr(data, "__len__") and not isinstance(data, dict) else None
