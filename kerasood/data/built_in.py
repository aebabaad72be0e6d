"""Sets that need no files: scikit-learn's digits and photographs, and images made on the spot."""
import functools
import zlib

import numpy as np
from PIL import Image

from kerasood.data.division import balanced_parts
from kerasood.data.source import ArraySource, ImageSource

HELDOUT_CLASSES = (8, 9)
# 60% train, 20% validation, 20% test of every class.
FIFTHS = ("test", "train", "validation", "train", "train")
BRIGHTEST = 16
PATCH_SCALES = (1, 2, 4, 8)
CHUNK = 256
DEFAULT_NUM_IMAGES = 2000
GAUSSIAN_STD = 0.5  # in units in which the pixel range is [-1, 1]
VERSION = 2  # raise it when a maker changes what it makes
BLOB_DENSITY, BLOB_SIGMA, BLOB_THRESHOLD = 0.7, 1.5, 0.75


def digits(split: str, options) -> ArraySource:
    """Returns classes 0 to 7 of the digits, split 60/20/20 within every class, always the same.

    Reference: UCI "Optical Recognition of Handwritten Digits" (its test set, 1,797 images).
    """
    images, labels = _load_digits(options.image_size)
    kept = labels < min(HELDOUT_CLASSES)
    images, labels = images[kept], labels[kept]
    rows = balanced_parts(labels, FIFTHS) == split
    names = tuple(str(digit) for digit in range(min(HELDOUT_CLASSES)))
    return ArraySource("digits", images[rows], labels[rows], len(names), names)


def digits_heldout(split: str, options) -> ArraySource:
    """Returns classes 8 and 9 of the digits, without labels: no model of 0 to 7 has them."""
    images, labels = _load_digits(options.image_size)
    return ArraySource("digits_heldout", images[np.isin(labels, HELDOUT_CLASSES)])


def _load_digits(image_size):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = np.round(bunch.images * (255 / BRIGHTEST)).astype(np.uint8)
    size = (image_size, image_size)
    resized = [Image.fromarray(image).resize(size, Image.Resampling.BILINEAR) for image in grey]
    images = np.repeat(np.stack(resized)[..., None], 3, axis=-1)
    return images, bunch.target.astype(np.int32)


def photo_patches(rng, count: int, image_size: int, photograph: str = "flower.jpg"):
    """Cuts square patches of 1, 2, 4 and 8 times the image size out of one of scikit-learn's.

    Args:
        rng: numpy Generator.
        count: number of patches.
        image_size: side that each patch is resized to (antialiased bilinear), pixels.
        photograph: "flower.jpg", or "china.jpg" of a temple, which chooses detectors and their
            parameters: no patch of the one is one of the other.

    Returns:
        uint8 `(count, S, S, 3)`.
    """
    photo = _photo(photograph)
    patches = np.empty((count, image_size, image_size, 3), np.uint8)
    for patch in patches:
        side = min(image_size * int(rng.choice(PATCH_SCALES)), *photo.size)
        left, top = (int(rng.integers(length - side + 1)) for length in photo.size)
        crop = photo.crop((left, top, left + side, top + side))
        patch[:] = np.asarray(crop.resize((image_size, image_size), Image.Resampling.BILINEAR))
    return patches


@functools.cache
def _photo(name):
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image(name))


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


OPENERS = {
    "digits": digits,
    "digits_heldout": digits_heldout,
    **{
        name: lambda split, options, name=name: GeneratedSource(name, options.image_size)
        for name in MAKERS
    },
}
