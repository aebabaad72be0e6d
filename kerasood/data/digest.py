"""Identities of images and rows."""
import hashlib

import numpy as np

from kerasood.errors import InvalidInputError


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
