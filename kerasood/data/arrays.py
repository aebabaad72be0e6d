"""Images in .npz and .npy files, streamed: a file of any length is read in bounded memory."""
import contextlib
import math
import pathlib
import zipfile

import numpy as np

from kerasood.data.decoding import PUBLISHED_SIZE, RULES, resize_all, resizing_of
from kerasood.data.division import choose_split, offered_splits
from kerasood.data.labels import MAX_CLASSES, checked_labels, class_labels
from kerasood.data.options import DEFAULTS
from kerasood.data.source import ImageSource
from kerasood.errors import InvalidInputError
from kerasood.files import DAMAGE

ARRAY_SUFFIXES = (".npz", ".npy")
ROWS_PER_READ = 512
EXPECTED_KEYS = (
    "expected `<split>_images` (and `<split>_labels`), or `x_<split>` and `y_<split>`, or `images` "
    "(and `labels`), or one array"
)


class ArrayFileSource(ImageSource):
    """One split of an .npz or .npy file. Nothing in it is ever unpickled.

    Args:
        path: an .npz file with the keys `<split>_images` and `<split>_labels`, or `x_<split>` and
            `y_<split>` as in Keras's own files, or `images` and `labels`, or with one array of
            images under any name; or an .npy file, which is such an array.
        split: see `choose_split`.
        options: DataOptions. Arrays must have 32x32 pixels where these are wanted; to any other
            size they are resized. Grey images may lack the last axis.
        spec: the registered set that the file holds, or None for a user's own images. Only the
            latter are divided for training when they are labelled and in one piece.

    Raises:
        InvalidInputError: an unreadable file, a missing split, or arrays of another kind.
    """

    def __init__(self, path, split, options=DEFAULTS, spec=None):
        self.path = pathlib.Path(path)
        headers = read_headers(path)
        self._key, labels_key, part = _choose(path, headers, split, divisible=spec is None)
        where = f"{path}[{self._key}]" if self._key else f"{path}"
        count, size = checked_header(where, headers[self._key], options.image_size)
        self._resizing = resizing_of(options)
        if size != (options.image_size, options.image_size):
            self.resized_from = size
        num_classes = None
        class_names = options.class_names
        if labels_key is not None:
            num_classes = (spec and spec.num_classes) or len(class_names or ())
            num_classes = num_classes or _largest_label(path, headers) + 1
            labels = read_array(path, labels_key)
            self._known_labels = checked_labels(labels, count, num_classes, f"{path}[{labels_key}]")
        name = spec.name if spec else self.path.stem
        class_names = class_names if num_classes == len(class_names or ()) else None
        super().__init__(
            name, count, options.image_size, num_classes, class_names, options.channels
        )
        self._keep_part(part, path)

    def _identity(self):
        stored = [*_content(self.path, self._key), self._key]
        return stored if self.resized_from is None else [*stored, self._resizing, RULES]

    def _read(self, rows):
        for images, labels in super()._read(rows):
            if self.resized_from is None:
                yield images, labels
                continue
            step = self._images_per_read(ROWS_PER_READ)
            for first in range(0, len(images), step):
                part = slice(first, first + step)
                resized = resize_all(images[part], self.image_size, self._resizing)
                yield resized, None if labels is None else labels[part]

    def _chunks(self):
        labels = self._known_labels
        for first, images in _stream(self.path, self._key):
            yield images, None if labels is None else labels[first : first + len(images)]


def array_splits(path, spec=None) -> tuple[str, ...]:
    """Returns the splits that `ArrayFileSource` offers for this file."""
    headers = read_headers(path)
    return offered_splits(tuple(_named_splits(headers)), spec is None and "labels" in headers)


def array_size(path) -> tuple[int, int]:
    """The (height, width) of the images that a file brings to train with, pixels.

    Raises:
        InvalidInputError: an unreadable file, one without a training split, or no images.
    """
    headers = read_headers(path)
    key, _, _ = _choose(path, headers, "train", divisible=True)
    _, size = checked_header(f"{path}[{key}]", headers[key])
    return size


def read_headers(path):
    """Returns {key: (shape, fortran_order, dtype)} without reading arrays; an .npy's key is ""."""
    headers = {}
    with readable(path):
        for key in _keys(path):
            with _opened(path, key) as stream:
                headers[key] = _read_header(stream)
                start = stream.tell()
    for key, (_, _, dtype) in headers.items():
        if dtype.hasobject:
            raise InvalidInputError(
                f"{path}: expected numbers{f' in {key}' if key else ''}; Python objects are never "
                f"unpickled. Received: dtype={dtype}"
            )
    if pathlib.Path(path).suffix == ".npy":
        _check_size(path, headers[""], start)
    return headers


def checked_header(where, header, side=None):
    """Returns the number and the (height, width) of an array's images, by its header.

    Raises:
        InvalidInputError: for an array of anything but uint8 `(N, S, S, 3)`, `(N, S, S, 1)` or
            `(N, S, S)` in C order with S = 32 where that is the wanted side, else of any height and
            width.
    """
    shape, fortran_order, dtype = header
    is_published = side == PUBLISHED_SIZE
    size = f"{side}, {side}" if is_published else "H, W"
    if dtype != np.uint8:
        raise InvalidInputError(f"{where}: expected uint8 images, 0-255. Received: dtype={dtype}")
    if len(shape) != 3 and not (len(shape) == 4 and shape[-1] in (1, 3)):
        hint = " Channels come last." if len(shape) == 4 and shape[1] in (1, 3) else ""
        raise InvalidInputError(
            f"{where}: expected shape (N, {size}, 3), (N, {size}, 1) or (N, {size}).{hint} "
            f"Received: shape={shape}"
        )
    if is_published and shape[1:3] != (side, side):
        raise InvalidInputError(
            f"{where}: expected {side}x{side} images; arrays are not resized (an image folder "
            f"would be). Received: {shape[1]}x{shape[2]} images"
        )
    if shape[0] == 0:
        raise InvalidInputError(f"{where}: expected at least one image. Received: shape={shape}")
    if fortran_order:
        raise InvalidInputError(f"{where}: expected an array in C order. Received: Fortran order")
    return shape[0], shape[1:3]


def read_array(path, key):
    """Returns one array of an .npz file."""
    with readable(path), _opened(path, key) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _stream(path, key):
    """Yields (first row, uint8 images `(<= ROWS_PER_READ, H, W, 1 or 3)`) of one array."""
    with readable(path), _opened(path, key) as stream:
        shape, _, _ = _read_header(stream)
        image_shape = shape[1:] if len(shape) == 4 else (*shape[1:], 1)
        row_bytes = math.prod(image_shape)
        for first in range(0, shape[0], ROWS_PER_READ):
            rows = min(ROWS_PER_READ, shape[0] - first)
            data = stream.read(rows * row_bytes)
            if len(data) < rows * row_bytes:
                raise EOFError(f"{key} ends after {first} of {shape[0]} images")
            yield first, np.frombuffer(data, np.uint8).reshape(rows, *image_shape).copy()
        stream.read(1)  # the checksum is compared at the end of the member


@contextlib.contextmanager
def readable(path):
    """Turns what a damaged file raises inside into an error that says so."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except DAMAGE as error:
        suffix = pathlib.Path(path).suffix[1:]
        raise InvalidInputError(
            f"{path}: not a readable {suffix} (truncated download?): {error}"
        ) from error


def _keys(path):
    if pathlib.Path(path).suffix == ".npy":
        return [""]
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


@contextlib.contextmanager
def _opened(path, key):
    """Yields an array of the file as a stream in the .npy format."""
    if pathlib.Path(path).suffix == ".npy":
        with open(path, "rb") as stream:
            yield stream
        return
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
        yield stream


def _content(path, key):
    """Identity of an array: the checksum in an .npz, the time of change of an .npy."""
    if path.suffix == ".npy":
        status = path.stat()
        return [status.st_size, status.st_mtime_ns]
    with readable(path), zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{key}.npy")
    return [member.file_size, member.CRC]


def _read_header(stream):
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _check_size(path, header, start):
    shape, _, dtype = header
    expected = start + math.prod(shape) * dtype.itemsize
    received = pathlib.Path(path).stat().st_size
    if received < expected:
        raise InvalidInputError(
            f"{path}: not a readable npy (truncated download?): expected {expected:,} bytes. "
            f"Received: {received:,} bytes"
        )


def _named_splits(headers):
    """{split: (key of its images, key of its labels, there or not)}."""
    names = [key[2:] for key in headers if key.startswith("x_") and f"y_{key[2:]}" in headers]
    keys = {name: (f"x_{name}", f"y_{name}") for name in names}
    names = [key.removesuffix("_images") for key in headers if key.endswith("_images")]
    keys |= {name: (f"{name}_images", f"{name}_labels") for name in names}
    return {"validation" if name == "val" else name: pair for name, pair in keys.items()}


def _choose(path, headers, split, divisible):
    named, why = _named_splits(headers), ImageSource.unlabelled if divisible else None
    divisible = divisible and "labels" in headers
    if not named and "images" not in headers and len(headers) != 1:
        raise InvalidInputError(
            f"{path}: {EXPECTED_KEYS}. Received: keys {', '.join(headers) or 'none'}"
        )
    chosen, part = choose_split(path, split, tuple(named), divisible, why)
    if chosen is not None:
        key, labels_key = named[chosen]
    else:
        key, labels_key = "images" if "images" in headers else next(iter(headers)), "labels"
    return key, labels_key if labels_key in headers else None, part


def _largest_label(path, headers):
    keys = {"labels", *(labels for _, labels in _named_splits(headers).values())}
    found = [class_labels(read_array(path, key), f"{path}[{key}]") for key in keys & set(headers)]
    numbers = [labels for labels in found if labels.dtype.kind in "iu"]
    largest = max((int(np.max(labels, initial=0)) for labels in numbers), default=0)
    return min(largest, MAX_CLASSES)
