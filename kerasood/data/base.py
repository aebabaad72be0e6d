"""What all image sources share: the interface, batching, labels, and the choice of a split."""
import hashlib

import numpy as np
from absl import logging

SPLITS = ("train", "validation", "test")
OOD_SPLIT = "ood"
# Dealt round and round within each class, so every part holds its share of every class.
TENTHS = ("test", *("train",) * 4, "validation", *("train",) * 4)
LOAD_BATCH = 1024


class ImageSource:
    """Images of one split of a data set, re-iterable in one fixed order.

    Attributes:
        name: the data set's name, for messages.
        num_images: number of images; None when unknown before reading. A folder with unreadable
            files counts them until they were met.
        image_size: side of the square images, pixels.
        num_classes: number of classes, or None without labels.
        class_names: tuple of `num_classes` names, or None.
        skipped: list of (file, reason) of the files left out as unreadable so far.
    """

    def __init__(self, name, num_images, image_size, num_classes=None, class_names=None):
        self.name = name
        self.num_images = num_images
        self.image_size = image_size
        self.num_classes = num_classes
        self.class_names = class_names
        self.skipped = []

    def batches(self, batch_size: int):
        """Yields all images in order, in bounded memory.

        Args:
            batch_size: images per batch; only the last batch may hold fewer.

        Yields:
            images: uint8 `(B, S, S, 3)`, 0-255.
            labels: int32 `(B,)`, or None.
        """
        raise NotImplementedError

    def load(self):
        """Returns images uint8 `(N, S, S, 3)` and labels int32 `(N,)` or None, all in memory."""
        parts = list(self.batches(LOAD_BATCH))
        images = np.concatenate([images for images, _ in parts])
        if parts[0][1] is None:
            return images, None
        return images, np.concatenate([labels for _, labels in parts])


class ArraySource(ImageSource):
    """Images that are already in memory.

    Args:
        images: uint8 `(N, S, S, 3)`.
        labels: int32 `(N,)`, or None.
    """

    def __init__(self, name, images, labels=None, num_classes=None, class_names=None):
        super().__init__(name, len(images), images.shape[1], num_classes, class_names)
        self._images, self._labels = images, labels

    def batches(self, batch_size):
        return rebatch([(self._images, self._labels)], batch_size)

    def load(self):
        return self._images, self._labels


def rebatch(chunks, batch_size: int):
    """Yields (images, labels) chunks of any length again, `batch_size` images at a time."""
    if batch_size < 1:
        raise ValueError(f"Expected at least one image a batch. Received: batch_size={batch_size}")
    held = None
    for chunk in chunks:
        held = chunk if held is None else _joined(held, chunk)
        while len(held[0]) >= batch_size:
            yield _rows(held, slice(batch_size))
            held = _rows(held, slice(batch_size, None))
    if held is not None and len(held[0]):
        yield held


def _rows(chunk, rows):
    images, labels = chunk
    return images[rows], None if labels is None else labels[rows]


def _joined(first, second):
    if not len(first[0]):
        return second
    labels = None if first[1] is None else np.concatenate([first[1], second[1]])
    return np.concatenate([first[0], second[0]]), labels


def deal(labels, pattern=TENTHS, seed: int = 0):
    """Deals images to parts, class by class, so that each part has its share of every class.

    Args:
        labels: int `(N,)`.
        pattern: part names, dealt cyclically over the shuffled images of class 0, 1, ...
        seed: of the shuffle.

    Returns:
        `(N,)` array of part names.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    parts = np.empty(len(labels), dtype=object)
    parts[by_class] = np.resize(np.array(pattern, dtype=object), len(labels))
    return parts


def part_rows(labels, part: str, where):
    """Returns the increasing rows of one part of data that come without splits of their own."""
    rows = np.flatnonzero(deal(labels) == part)
    if not len(rows):
        raise ValueError(
            f"{where}: too few images to divide into 80% train, 10% validation and 10% test; "
            f"{part!r} would be empty. Received: {len(labels)} images"
        )
    logging.info("%s: %d of its %d images are %s (fixed seeded 80/10/10 division)",
                 where, len(rows), len(labels), part)
    return rows


def choose_split(where, split: str, named: tuple[str, ...], divisible: bool):
    """Decides what a requested split means for a file or folder.

    `"ood"` asks for the images to score as outliers: the test split where there are splits,
    otherwise everything. Data in one piece are all `"test"`, unless they are divisible (a user's
    own labelled data): then each of train, validation and test is a fixed part of them.

    Args:
        where: path, for the error.
        split: the split asked for.
        named: splits that the data bring; empty for data in one piece.
        divisible: whether data in one piece may be divided for training.

    Returns:
        The named split to read, or None; and the part to take of it, or None for everything.

    Raises:
        ValueError: when there is no such split; names those that there are.
    """
    if named:
        if split == OOD_SPLIT:
            split = named[0] if len(named) == 1 else "test"
        if split in named:
            return split, None
    elif split == OOD_SPLIT or (split == "test" and not divisible):
        return None, None
    elif divisible and split in SPLITS:
        return None, split
    offered = ", ".join(named or offered_splits((), divisible))
    raise ValueError(f"{where}: no split {split!r}; splits there: {offered}")


def offered_splits(named: tuple[str, ...], divisible: bool) -> tuple[str, ...]:
    """Returns the splits that `choose_split` can serve, `"ood"` aside."""
    return named or (SPLITS if divisible else ("test",))


def checked_labels(labels, num_images: int, num_classes: int | None, where):
    """Returns labels as int32 `(N,)`.

    Raises:
        ValueError: when they are not one integer in [0, num_classes) per image.
    """
    if labels.shape != (num_images,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{where}: expected one integer label per image, shape ({num_images},). "
            f"Received: shape={labels.shape}, dtype={labels.dtype}"
        )
    lowest, highest = int(labels.min()), int(labels.max())
    limit = np.iinfo(np.int32).max if num_classes is None else num_classes
    if lowest < 0 or highest >= limit:
        raise ValueError(
            f"{where}: expected labels from 0 to {limit - 1}. "
            f"Received: labels from {lowest} to {highest}"
        )
    return labels.astype(np.int32)


class ImageDigest:
    """sha256"""

    def __init__(self):
        self._digest = hashlib.sha256()

    def update(self, images):
        self._digest.update(np.ascontiguousarray(images))

    def hexdigest(self):
        return self._digest.hexdigest()
