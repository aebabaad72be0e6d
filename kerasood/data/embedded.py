"""Images that come with scikit-learn: handwritten digits, and patches of its two photographs."""
import functools

import numpy as np
from PIL import Image

from kerasood.data.division import balanced_parts
from kerasood.data.source import ArraySource

HELDOUT_CLASSES = (8, 9)
# 60% train, 20% validation, 20% test of every class.
FIFTHS = ("test", "train", "validation", "train", "train")
BRIGHTEST = 16
PATCH_SCALES = (1, 2, 4, 8)


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


def photo_patches(rng, count: int, image_size: int):
    """Cuts square patches of 1, 2, 4 and 8 times the image size out of the two photographs.

    Args:
        rng: numpy Generator.
        count: number of patches.
        image_size: side that each patch is resized to (antialiased bilinear), pixels.

    Returns:
        uint8 `(count, S, S, 3)`.
    """
    photos = _photos()
    patches = np.empty((count, image_size, image_size, 3), np.uint8)
    for patch in patches:
        photo = photos[rng.integers(len(photos))]
        side = min(image_size * int(rng.choice(PATCH_SCALES)), *photo.size)
        left, top = (int(rng.integers(length - side + 1)) for length in photo.size)
        crop = photo.crop((left, top, left + side, top + side))
        patch[:] = np.asarray(crop.resize((image_size, image_size), Image.Resampling.BILINEAR))
    return patches


@functools.cache
def _photos():
    from sklearn.datasets import load_sample_images

    return tuple(Image.fromarray(image) for image in load_sample_images().images)
