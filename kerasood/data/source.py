"""What all image sources share: the interface, batching, labels, identity, choice of a split."""
import hashlib
import json

import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.logs import log

SPLITS = ("train", "validation", "test")
OOD_SPLIT = "ood"
OUTLIERS = "outliers"
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
        resized_from: (height, width) of all images before they were resized, pixels; None where
            they were not, or where they come in sizes of their own.
    """

    resized_from = None

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

    def fingerprint(self) -> str:
        """Returns a cheap identity of the images and labels that this source yields, 64 hex digits.

        The same source opened again has the same one, sources of other images have another.
        Nothing is decoded: files count as other files when their time of change is another, and
        an image that turns out to be unreadable changes nothing.
        """
        labels = rows_identity(self._known_labels())
        identity = [type(self).__name__, self.image_size, labels, *self._identity()]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    def _known_labels(self):
        """Returns the labels, int `(N,)`, where they are known without reading, or None."""
        return None

    def _identity(self) -> list:
        """Returns strings and numbers (or lists of them) that tell these images from others."""
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

    def _known_labels(self):
        return self._labels

    def _identity(self):
        digest = ImageDigest()
        for images, _ in self.batches(LOAD_BATCH):
            digest.update(images)
        return [digest.hexdigest, digest.count]


class ImageDigest:
    """SHA-256 of images as they pass, whatever batches they come in.

    Attributes:
        count: number of images so far.
    """

    def __init__(self):
        self.count = 0
        self._shape = None
        self._pixels = hashlib.sha256()

    def update(self, images):
        """Adds a batch.

        Args:
            images: uint8 `(B, H, W, 3)`; all batches have images of one shape.

        Raises:
            ValueError: for other images.
        """
        images = np.asarray(images)
        shape = self._shape or images.shape[1:]
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape:
            expected = ", ".join(str(side) for side in shape) if self._shape else "H, W, 3"
            raise InvalidInputError(
                f"Expected uint8 images of shape (B, {expected}). "
                f"Received: shape={images.shape}, dtype={images.dtype}"
            )
        self._shape = shape
        self.count += len(images)
        self._pixels.update(np.ascontiguousarray(images).data)

    @property
    def hexdigest(self) -> str:
        """64 hex digits: of the shape of the images and of all their pixels."""
        whole = self._pixels.copy()
        whole.update(str(self._shape).encode())
        return whole.hexdigest()


def rows_identity(rows):
    """Returns an identity of an int array of rows or labels; of None, `"all"`."""
    return "all" if rows is None else hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()


def rebatch(chunks, batch_size: int):
    """Yields (images, labels) chunks of any length again, `batch_size` images at a time."""
    if batch_size < 1:
        raise InvalidInputError(
            f"Expected at least one image a batch. Received: batch_size={batch_size}"
        )
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
        raise InvalidInputError(
            f"{where}: too few images to divide into 80% train, 10% validation and 10% test; "
            f"{part!r} would be empty. Received: {len(labels)} images"
        )
    log.info("%s: %d of its %d images are %s (fixed seeded 80/10/10 division)",
                 where, len(rows), len(labels), part)
    return rows


def choose_split(where, split: str, named: tuple[str, ...], divisible: bool):
    """Decides what a requested split means for a file or folder.

    `"ood"` asks for the images to score as outliers: the test split where there are splits,
    otherwise everything. `"outliers"` asks for images to train with that belong to no class: the
    training split where there are splits, otherwise everything; a single split is everything,
    whatever its name. Data in one piece are all `"test"`, unless they are divisible (a user's
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
        meant = {OOD_SPLIT: "test", OUTLIERS: "train"}
        if split in meant:
            split = named[0] if len(named) == 1 else meant[split]
        if split in named:
            return split, None
    elif split in (OOD_SPLIT, OUTLIERS) or (split == "test" and not divisible):
        return None, None
    elif divisible and split in SPLITS:
        return None, split
    offered = ", ".join(named or offered_splits((), divisible))
    raise InvalidInputError(f"{where}: no split {split!r}; splits there: {offered}")


def offered_splits(named: tuple[str, ...], divisible: bool) -> tuple[str, ...]:
    """Returns the splits that `choose_split` can serve, `"ood"` and `"outliers"` aside."""
    return named or (SPLITS if divisible else ("test",))


def checked_labels(labels, num_images: int, num_classes: int | None, where):
    """Returns labels as int32 `(N,)`.

    Raises:
        ValueError: when they are not one integer in [0, num_classes) per image.
    """
    if labels.shape != (num_images,) or labels.dtype.kind not in "iu":
        raise InvalidInputError(
            f"{where}: expected one integer label per image, shape ({num_images},). "
            f"Received: shape={labels.shape}, dtype={labels.dtype}"
        )
    lowest, highest = int(labels.min()), int(labels.max())
    limit = np.iinfo(np.int32).max if num_classes is None else num_classes
    if lowest < 0 or highest >= limit:
        raise InvalidInputError(
            f"{where}: expected labels from 0 to {limit - 1}. "
            f"Received: labels from {lowest} to {highest}"
        )
    return labels.astype(np.int32)
