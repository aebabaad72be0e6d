"""Base of all image sources: batches, rows, subsets, labels and identity."""
import copy
import hashlib
import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from kerasood.data.decoding import to_channels
from kerasood.data.digest import ImageDigest, rows_identity
from kerasood.data.division import part_rows
from kerasood.data.labels import checked_labels, refuse_mask
from kerasood.errors import InvalidInputError

LOAD_BATCH = 1024
READ_BYTES = 1 << 26  # of images that are read or resized at once


class ImageSource:
    """Images of one split of a data set, re-iterable in one fixed order.

    A subclass yields its images in `_chunks`; where it can read single images faster than all of
    them it overrides `_read` as well.

    Attributes:
        name: the data set's name, for messages.
        num_images: number of images. A folder with unreadable files counts them until they were
            met.
        image_size: side of the square images, pixels.
        channels: 3, or 1 for grey images.
        num_classes: number of classes, or None without labels.
        class_names: tuple of `num_classes` names, or None.
        skipped: list of (file, reason) of the files left out as unreadable so far.
        resized_from: (height, width) of all images before they were resized, pixels; None where
            they were not, or where they come in sizes of their own.
        unlabelled: without labels, what there is instead, for messages.
        whole, rows: of a subset, the source it was taken from and the rows there; else None.
    """

    resized_from = None
    unlabelled = "no labels"
    whole = None
    rows = None
    _known_labels = None
    _rows = None

    def __init__(
        self, name: str, num_images: int, image_size: int, num_classes: int | None = None,
        class_names: tuple[str, ...] | None = None, channels: int = 3,
    ):
        self.name = name
        self.num_images = num_images
        self.image_size = image_size
        self.channels = channels
        self.num_classes = num_classes
        self.class_names = class_names
        self.skipped = []
        self._num_rows = num_images

    @property
    def labels(self) -> np.ndarray | None:
        """int32 (N,), without decoding an image; None without labels.

        Unreadable files have a label too: it belongs to the row, see `subset`.
        """
        labels = self._all_labels()
        return labels if labels is None or self._rows is None else labels[self._rows]

    def batches(self, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yields all images in order, in bounded memory.

        Args:
            batch_size: images per batch; only the last batch may hold fewer.

        Yields:
            images: uint8 `(B, S, S, channels)`, 0-255.
            labels: int32 `(B,)`, or None.
        """
        for images, labels in rebatch(self._read(self._rows), batch_size):
            yield to_channels(images, self.channels), labels

    def load(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns images uint8 `(N, S, S, channels)` and labels int32 `(N,)` or None, in memory."""
        images = labels = None
        count = 0
        for batch, batch_labels in self.batches(LOAD_BATCH):
            if images is None:
                images = np.empty((self._num_rows, *batch.shape[1:]), np.uint8)
                labels = None if batch_labels is None else np.empty(self._num_rows, np.int32)
            images[count : count + len(batch)] = batch
            if labels is not None:
                labels[count : count + len(batch)] = batch_labels
            count += len(batch)
        return images[:count], None if labels is None else labels[:count]

    def take(self, rows: ArrayLike) -> np.ndarray:
        """Returns the images of some rows, uint8 `(len(rows), S, S, channels)`.

        Args:
            rows: int (M,), in any order; see `subset`.

        Raises:
            InvalidInputError: there is no such row, or its file is unreadable.
        """
        increasing, where = np.unique(np.asarray(rows), return_inverse=True)
        images, _ = self.subset(increasing).load()
        if len(images) < len(increasing):
            raise InvalidInputError(
                f"{self.name}: expected readable images. Received: "
                f"{len(increasing) - len(images)} unreadable of {len(increasing)}"
            )
        return images if np.array_equal(where, np.arange(len(where))) else images[where]

    def subset(self, rows: ArrayLike, name: str | None = None) -> "ImageSource":
        """Returns some of the images as a source of their own; nothing is read or copied.

        Args:
            rows: int (M,), increasing, each in [0, N). In a folder they count the files, readable
                or not, so that damage moves no other image.
            name: of the subset, for messages; the source's by default.

        Raises:
            InvalidInputError: for other rows.
        """
        rows = np.asarray(rows)
        is_increasing = rows.ndim == 1 and rows.dtype.kind in "iu" and np.all(np.diff(rows) > 0)
        if not is_increasing or not rows.size or rows[0] < 0 or rows[-1] >= self._num_rows:
            raise InvalidInputError(
                f"{self.name}: expected increasing rows in [0, {self._num_rows}), at least one. "
                f"Received: {rows.size} rows, shape={rows.shape}, dtype={rows.dtype}"
            )
        part = copy.copy(self)
        part.whole, part.rows = self, rows
        part.name = name or self.name
        part.skipped = []
        part.num_images = part._num_rows = len(rows)
        part._rows = rows if self._rows is None else self._rows[rows]
        return part

    def spread(self, num_images: int) -> "ImageSource":
        """Returns at most that many of the images, evenly spaced, as a source of their own."""
        rows = np.linspace(0, self._num_rows - 1, min(num_images, self._num_rows))
        return self.subset(rows.astype(int))

    @property
    def is_part(self) -> bool:
        """True for some of the images of what was opened: a division or a subset."""
        return self._rows is not None

    def digest(self) -> dict:
        """Returns {"count": int, "sha256": of the pixels}, which every image is read for."""
        found = ImageDigest()
        for images, _ in self.batches(LOAD_BATCH):
            found.update(images)
        return {"count": found.count, "sha256": found.hexdigest}

    def fingerprint(self) -> str:
        """Returns a cheap identity of the images and labels that this source yields, 64 hex digits.

        The same source opened again has the same one, sources of other images have another.
        Nothing is decoded: files count as other files when their time of change is another, and
        an image that turns out to be unreadable changes nothing.
        """
        identity = [
            type(self).__name__, self.image_size, self.channels, rows_identity(self._known_labels),
            rows_identity(self._rows), *self._identity(),
        ]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    def _chunks(self):
        """Yields (images, labels) of all images in order, in chunks of any length."""
        raise NotImplementedError

    def _read(self, rows):
        """Yields (images, labels) of increasing rows, or of all for None."""
        return selected(self._chunks(), rows)

    def _keep_part(self, part, where):
        """Leaves of labelled data without splits the rows of one part; None leaves all."""
        if part is not None:
            self._rows = part_rows(self._known_labels, part, where)
            self.num_images = self._num_rows = len(self._rows)

    def _images_per_read(self, most):
        return max(1, min(most, READ_BYTES // (3 * self.image_size**2)))

    def _all_labels(self):
        return self._known_labels

    def _identity(self) -> list:
        """Returns strings and numbers (or lists of them) that tell these images from others."""
        raise NotImplementedError


class ArraySource(ImageSource):
    """Images that are already in memory.

    Args:
        images: uint8 `(N, S, S, channels)`.
        labels: int `(N,)` in [0, num_classes), or None.
    """

    def __init__(self, name, images, labels=None, num_classes=None, class_names=None):
        images = refuse_mask(images, name)
        super().__init__(
            name, len(images), images.shape[1], num_classes, class_names, images.shape[-1]
        )
        self._images = images
        if labels is not None:
            self._known_labels = checked_labels(labels, len(images), num_classes, name)

    def load(self):
        if self._rows is None and self._images.shape[-1] == self.channels:
            return self._images, self._known_labels
        return super().load()

    def _read(self, rows):
        rows = np.arange(len(self._images)) if rows is None else rows
        for first in range(0, len(rows), LOAD_BATCH):
            part = rows[first : first + LOAD_BATCH]
            labels = self._known_labels
            yield self._images[part], None if labels is None else labels[part]

    def _identity(self):
        digest = ImageDigest()
        for images, _ in self.batches(LOAD_BATCH):
            digest.update(images)
        return [digest.hexdigest, digest.count]


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


def selected(chunks, rows):
    """Yields of (images, labels) chunks in order only the increasing `rows`; None means all."""
    first = taken = 0
    for images, labels in chunks:
        if rows is None:
            yield images, labels
            continue
        stop = np.searchsorted(rows, first + len(images))
        kept = rows[taken:stop] - first
        first, taken = first + len(images), stop
        if len(kept):
            yield images[kept], None if labels is None else labels[kept]
        if taken == len(rows):
            return
