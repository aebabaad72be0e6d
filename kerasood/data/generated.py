"""Images made on the spot, chunk by chunk: the same for the same name, seed and position."""
import zlib

import numpy as np

from kerasood.data.embedded import photo_patches
from kerasood.data.source import ImageSource

CHUNK = 256
DEFAULT_NUM_IMAGES = 2000
GAUSSIAN_STD = 0.5  # in units in which the pixel range is [-1, 1]
VERSION = 1  # raise it when a maker changes what it makes
BLOB_DENSITY, BLOB_SIGMA, BLOB_THRESHOLD = 0.7, 1.5, 0.75


def uniform_noise(rng, count: int, image_size: int):
    """Returns independent uniform pixels, uint8 `(count, S, S, 3)`."""
    return rng.integers(0, 256, (count, image_size, image_size, 3), np.uint8)


def gaussian_noise(rng, count: int, image_size: int):
    """Returns Gaussian pixels around mid-grey, clipped, uint8 `(count, S, S, 3)`.

    Reference: the outlier-exposure evaluation (Hendrycks et al., 2019), sigma 0.5 on [-1, 1].
    """
    noise = rng.normal(0.0, GAUSSIAN_STD, (count, image_size, image_size, 3))
    return _to_uint8((np.clip(noise, -1, 1) + 1) / 2)


def blobs(rng, count: int, image_size: int):
    """Returns smoothed binary noise with its darker part cut to 0, uint8 `(count, S, S, 3)`.

    As in the released outlier-exposure code the smoothing runs over the channels too, so that the
    three channels are alike without being equal.

    Reference: the outlier-exposure evaluation (Hendrycks et al., 2019), "Blobs".
    """
    from scipy.ndimage import gaussian_filter

    binary = rng.random((count, image_size, image_size, 3)) < BLOB_DENSITY
    sigma = (0, BLOB_SIGMA, BLOB_SIGMA, BLOB_SIGMA)
    smooth = gaussian_filter(binary.astype(np.float32), sigma, mode="nearest")
    return _to_uint8(np.where(smooth < BLOB_THRESHOLD, 0.0, smooth))


def _to_uint8(images):
    return np.round(255 * images).astype(np.uint8)


MAKERS = {
    "photos": photo_patches,
    "uniform_noise": uniform_noise,
    "gaussian_noise": gaussian_noise,
    "blobs": blobs,
}


class GeneratedSource(ImageSource):
    """A set of `MAKERS`, made again in every pass; never held in memory.

    Fewer images, or other batch sizes, give the first images of the same sequence.

    Args:
        name: key of `MAKERS`.
        image_size: side, pixels.
        num_images: number of images.
        seed: of the sequence.
    """

    def __init__(self, name, image_size=32, num_images=DEFAULT_NUM_IMAGES, seed=0):
        super().__init__(name, num_images, image_size)
        self._make, self._total = MAKERS[name], num_images
        self._key = [seed, zlib.crc32(name.encode())]

    def _identity(self):
        return [self.name, *self._key, self._total, VERSION]

    def _chunks(self):
        for first in range(0, self._total, CHUNK):
            rng = np.random.default_rng([*self._key, first // CHUNK])
            yield self._make(rng, CHUNK, self.image_size)[: self._total - first], None
