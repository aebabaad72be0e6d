"""Outliers to choose detectors and their parameters by: the images made strange, and a photograph.

Coarse, out of focus, too near, a negative, and another subject. Noise is left out, since whatever
reacts to noise tells it, also a detector that misses photographs of other things; and shuffled or
mixed images, since the detectors that tell these best tell other images no better.
"""

import numpy as np
from PIL import Image, ImageFilter

from kerasood.data.built_in import photo_patches
from kerasood.data.decoding import to_channels
from kerasood.errors import InvalidInputError

# Shares of the larger side: a Gaussian's standard deviation, a pixel, and what is enlarged.
BLURRED = 3 / 32
PIXELATED = 0.2
ENLARGED = 0.25


def pixelate(rng, images):
    """Box-averaged down to a fifth of the size and repeated up again."""
    box = Image.Resampling.BOX

    def averaged(image):
        small = [max(1, int(side * PIXELATED)) for side in image.size]
        return image.resize(small, box).resize(image.size, box)

    return _each(averaged, images)


def blur(rng, images):
    """Out of focus: smoothed by a Gaussian."""
    smooth = ImageFilter.GaussianBlur(BLURRED * max(images.shape[1:3]))
    return _each(lambda image: image.filter(smooth), images)


def zoom(rng, images):
    """Too near: the middle, a quarter of each side, enlarged to the whole."""

    def enlarged(image):
        around = [max(1, int(side * ENLARGED / 2)) for side in image.size]
        first, last = (
            [side // 2 + sign * part for side, part in zip(image.size, around, strict=True)]
            for sign in (-1, 1)
        )
        return image.crop((*first, *last)).resize(image.size, Image.Resampling.BICUBIC)

    return _each(enlarged, images)


def negative(rng, images):
    """Every channel inverted."""
    return 255 - images


def photo(rng, images):
    """Patches of a photograph, which is none of the set `photos`."""
    num_images, height, width, _ = images.shape
    patches = photo_patches(rng, num_images, max(height, width), "china.jpg")
    return patches[:, :height, :width]


def _each(change, images):
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


OUTLIER_KINDS = {
    function.__name__: function for function in (pixelate, blur, zoom, negative, photo)
}


def validation_outliers(images, seed=0):
    """All kinds of outliers, as many of each as there are images; of grey ones made in colour.

    Args:
        images: uint8 (N, H, W, 3) or (N, H, W, 1), in-distribution, pixels 0-255.
        seed: int >= 0, of the photograph's patches.

    Returns:
        {kind: uint8, of the same shape} in the order of `OUTLIER_KINDS`.

    Raises:
        ValueError: the images are no uint8 RGB or grey images, or there are none.

    Reference:
        Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019, appendix A;
        `pixelate` as in its released code. docs/detectors/choosing.md says why these.
    """
    images = np.asarray(images)
    channels = images.shape[-1] if images.ndim == 4 else None
    if images.dtype != np.uint8 or channels not in (1, 3) or not len(images):
        raise InvalidInputError(
            "Expected uint8 images of shape (N, H, W, 3) or (N, H, W, 1), at least one. "
            f"Received: dtype={images.dtype}, shape={images.shape}"
        )
    in_colour = to_channels(images, 3)
    return {
        kind: to_channels(make(np.random.default_rng([seed, index]), in_colour), channels)
        for index, (kind, make) in enumerate(OUTLIER_KINDS.items())
    }
