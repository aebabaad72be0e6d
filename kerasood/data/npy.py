"""Images in one .npy file, mapped into memory: as many are read as are asked for."""
import pathlib

import numpy as np

from kerasood.data.arrays import (
    ROWS_PER_READ,
    checked_count,
    read_header,
    resized,
    resized_from,
    resizing,
)
from kerasood.data.source import ImageDigest, ImageSource, choose_split, rebatch
from kerasood.errors import InvalidInputError

SAMPLED_ROWS = 64


class NpySource(ImageSource):
    """The images of a .npy file, all one split and without labels. Nothing is ever unpickled.

    Args:
        path: the file, one array uint8 `(N, H, W, 3)`.
        split: `"test"`, `"ood"` or `"outliers"`, which all mean everything.
        image_size: wanted side, pixels; see `NpzSource`.
        spec: the registered set that the file holds, or None for a user's own images.

    Raises:
        ValueError: for an unreadable file, another split, or an array of another kind.
    """

    def __init__(self, path, split, image_size=32, spec=None):
        self.path = pathlib.Path(path)
        choose_split(path, split, (), divisible=False)
        header = _checked_header(self.path)
        count = checked_count(path, header, image_size)
        self.resized_from = resized_from(header, image_size)
        super().__init__(spec.name if spec else self.path.stem, count, image_size)

    def batches(self, batch_size):
        return resized(rebatch(self._chunks(), batch_size), self)

    def _identity(self):
        """The time of change alone would do, were it not for copies that keep it."""
        images, digest = _mapped(self.path), ImageDigest()
        digest.update(images[np.linspace(0, len(images) - 1, SAMPLED_ROWS).astype(int)])
        status = self.path.stat()
        identity = [status.st_size, status.st_mtime_ns, self.num_images, digest.hexdigest]
        return identity + resizing(self)

    def _chunks(self):
        images = _mapped(self.path)
        for first in range(0, len(images), ROWS_PER_READ):
            yield np.array(images[first : first + ROWS_PER_READ]), None


def _mapped(path):
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _checked_header(path):
    """Returns what `read_header` does of a file whose size agrees with it."""
    try:
        with open(path, "rb") as stream:
            shape, fortran_order, dtype = read_header(stream)
            expected = stream.tell() + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    except ValueError as error:
        raise InvalidInputError(
            f"{path}: not a readable npy (truncated download?): {error}"
        ) from error
    if path.stat().st_size != expected and not dtype.hasobject:
        raise InvalidInputError(
            f"{path}: not a readable npy (truncated download?): expected {expected:,} bytes. "
            f"Received: {path.stat().st_size:,} bytes"
        )
    return shape, fortran_order, dtype
