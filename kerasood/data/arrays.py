"""Images in .npz files, streamed: a file of any length is read in bounded memory."""
import contextlib
import math
import pathlib
import zipfile
import zlib

import numpy as np

from kerasood.data.decoding import PUBLISHED_SIZE, RULES, resize_all
from kerasood.data.source import (
    ImageSource,
    checked_labels,
    choose_split,
    offered_splits,
    part_rows,
    rebatch,
    rows_identity,
)
from kerasood.errors import InvalidInputError

ROWS_PER_READ = 512
EXPECTED_KEYS = (
    "expected `<split>_images` (and `<split>_labels`), or `images` (and `labels`), or one array"
)


class NpzSource(ImageSource):
    """One split of an .npz file. Nothing in it is ever unpickled.

    Args:
        path: the file; its keys are `<split>_images` and `<split>_labels`, or `images` and
            `labels`, or it holds one array of images under any name.
        split: see `choose_split`.
        image_size: wanted side, pixels. Arrays must have it where it is 32; to any other size they
            are resized.
        spec: the registered set that the file holds, or None for a user's own images. Only the
            latter are divided for training when they are labelled and in one piece.

    Raises:
        ValueError: for an unreadable file, a missing split, or arrays of another kind.
    """

    def __init__(self, path, split, image_size=32, spec=None):
        self.path = pathlib.Path(path)
        members = read_headers(path)
        self._key, labels_key, part = _choose(path, members, split, divisible=spec is None)
        where = f"{path}[{self._key}]"
        count = checked_count(where, members[self._key], image_size)
        self.resized_from = resized_from(members[self._key], image_size)
        num_classes = self._labels = self._rows = None
        if labels_key is not None:
            num_classes = (spec and spec.num_classes) or _largest_label(path, members) + 1
            labels = _read_array(path, labels_key)
            self._labels = checked_labels(labels, count, num_classes, f"{path}[{labels_key}]")
        if part is not None:
            self._rows = part_rows(self._labels, part, path)
            self._labels = self._labels[self._rows]
            count = len(self._rows)
        super().__init__(spec.name if spec else self.path.stem, count, image_size, num_classes)

    def batches(self, batch_size):
        return resized(rebatch(self._chunks(), batch_size), self)

    def _known_labels(self):
        return self._labels

    def _identity(self):
        with _readable(self.path), zipfile.ZipFile(self.path) as archive:
            member = archive.getinfo(f"{self._key}.npy")
        rows = rows_identity(self._rows)
        return [self._key, member.CRC, member.file_size, self.num_images, rows, *resizing(self)]

    def _chunks(self):
        taken = 0
        for first_row, images in stream_images(self.path, self._key):
            if self._rows is not None:
                stop = np.searchsorted(self._rows, first_row + len(images))
                images = images[self._rows[taken:stop] - first_row]
            labels = None
            if self._labels is not None:
                labels = self._labels[taken : taken + len(images)]
            taken += len(images)
            yield images, labels


def npz_splits(path, spec=None) -> tuple[str, ...]:
    """Returns the splits that `NpzSource` offers for this file."""
    members = read_headers(path)
    return offered_splits(_named_splits(members), spec is None and "labels" in members)


def read_headers(path):
    """Returns {key: (shape, fortran_order, dtype)} without reading the arrays."""
    with _readable(path), zipfile.ZipFile(path) as archive:
        keys = [name for name in archive.namelist() if name.endswith(".npy")]
        headers = {}
        for key in keys:
            with archive.open(key) as stream:
                headers[key.removesuffix(".npy")] = read_header(stream)
    for key, (_, _, dtype) in headers.items():
        if dtype.hasobject:
            raise InvalidInputError(
                f"{path}[{key}]: expected numbers; Python objects are never unpickled. "
                f"Received: dtype={dtype}"
            )
    return headers


def stream_images(path, key):
    """Yields (first row, uint8 images `(<= ROWS_PER_READ, H, W, 3)`) of one array."""
    with _readable(path), zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
        shape, _, _ = read_header(stream)
        row_bytes = math.prod(shape[1:])
        for first_row in range(0, shape[0], ROWS_PER_READ):
            rows = min(ROWS_PER_READ, shape[0] - first_row)
            data = stream.read(rows * row_bytes)
            if len(data) < rows * row_bytes:
                raise EOFError(f"{key} ends after {first_row} of {shape[0]} images")
            yield first_row, np.frombuffer(data, np.uint8).reshape(rows, *shape[1:]).copy()
        stream.read(1)  # the checksum is compared at the end of the member


@contextlib.contextmanager
def _readable(path):
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, RuntimeError) as error:
        raise InvalidInputError(
            f"{path}: not a readable npz (truncated download?): {error}"
        ) from error


def read_header(stream):
    """Returns (shape, fortran_order, dtype) of an array in the .npy format."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _named_splits(members):
    return tuple(key.removesuffix("_images") for key in members if key.endswith("_images"))


def _choose(path, members, split, divisible):
    named = _named_splits(members)
    divisible = divisible and "labels" in members
    if not named and "images" not in members and len(members) != 1:
        raise InvalidInputError(
            f"{path}: {EXPECTED_KEYS}. Received: keys {', '.join(members) or 'none'}"
        )
    chosen, part = choose_split(path, split, named, divisible)
    if chosen is not None:
        key, labels_key = f"{chosen}_images", f"{chosen}_labels"
    else:
        key, labels_key = "images" if "images" in members else next(iter(members)), "labels"
    return key, labels_key if labels_key in members else None, part


def checked_count(where, header, image_size: int) -> int:
    """Returns the number of images of an array, given the header that `read_header` returns.

    Raises:
        ValueError: for an array of anything but uint8 `(N, S, S, 3)` in C order; where another size
            than 32 is wanted, `(N, H, W, 3)`.
    """
    shape, fortran_order, dtype = header
    published = image_size == PUBLISHED_SIZE
    size = f"{image_size}, {image_size}" if published else "H, W"
    if dtype != np.uint8:
        raise InvalidInputError(f"{where}: expected uint8 images, 0-255. Received: dtype={dtype}")
    if len(shape) != 4 or shape[-1] != 3:
        hint = " Channels come last." if len(shape) == 4 and shape[1] == 3 else ""
        raise InvalidInputError(
            f"{where}: expected shape (N, {size}, 3).{hint} Received: shape={shape}"
        )
    if published and shape[1:3] != (image_size, image_size):
        raise InvalidInputError(
            f"{where}: expected {image_size}x{image_size} images; arrays are not resized (an "
            f"image folder would be). Received: {shape[1]}x{shape[2]} images"
        )
    if shape[0] == 0:
        raise InvalidInputError(f"{where}: expected at least one image. Received: shape={shape}")
    if fortran_order:
        raise InvalidInputError(f"{where}: expected an array in C order. Received: Fortran order")
    return shape[0]


def resized_from(header, image_size: int):
    """Returns (height, width) of an array's images where that is not the wanted size, else None."""
    size = header[0][1:3]
    return None if size == (image_size, image_size) else size


def resized(batches, source):
    """Yields (images, labels) of a source whose arrays hold images of another size."""
    for images, labels in batches:
        if source.resized_from is not None:
            images = resize_all(images, source.image_size)
        yield images, labels


def resizing(source) -> list:
    """What resizing adds to the identity of a source of arrays."""
    return [] if source.resized_from is None else [source.resized_from, RULES]


def _read_array(path, key):
    with _readable(path), zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _largest_label(path, members):
    arrays = [
        _read_array(path, key)
        for key, (_, _, dtype) in members.items()
        if dtype.kind in "iu" and (key == "labels" or key.endswith("_labels"))
    ]
    return max((int(np.max(labels, initial=0)) for labels in arrays), default=0)
