"""Outliers to choose detectors and their parameters by: made from the images, and a photograph's.

The kinds are those of the outlier-exposure code without its noise. Whatever reacts to noise tells
it, also a detector that misses photographs of other things; for these stand patches of one.
"""

import numpy as np
from PIL import Image

from kerasood.data.built_in import photo_patches
from kerasood.data.decoding import to_channels
from kerasood.errors import InvalidInputError

TILES = 4
PIXELATED = 0.2


def pairwise_means(rng, images):
    """The arithmetic mean of each image and another one."""
    others = images[(np.arange(len(images)) + rng.integers(1, max(2, len(images)))) % len(images)]
    return ((images.astype("uint16") + others) // 2).astype("uint8")


def jigsaw(rng, images):
    """Four by four tiles of each image in random order."""
    num_images, height, width, channels = images.shape
    rows, columns = height // TILES, width // TILES
    tiled = images[:, : rows * TILES, : columns * TILES].reshape(
        num_images, TILES, rows, TILES, columns, channels
    )
    tiles = tiled.transpose(0, 1, 3, 2, 4, 5).reshape(num_images, TILES**2, -1)
    order = rng.permuted(np.tile(np.arange(TILES**2), (num_images, 1)), axis=1)
    shuffled = np.take_along_axis(tiles, order[:, :, None], axis=1)
    shuffled = shuffled.reshape(num_images, TILES, TILES, rows, columns, channels)
    result = images.copy()
    result[:, : rows * TILES, : columns * TILES] = shuffled.transpose(0, 1, 3, 2, 4, 5).reshape(
        num_images, rows * TILES, columns * TILES, channels
    )
    return result


def pixelate(rng, images):
    """Box-averaged down to a fifth of the size and repeated up again."""
    height, width = images.shape[1:3]
    small = max(1, int(width * PIXELATED)), max(1, int(height * PIXELATED))
    box = Image.Resampling.BOX
    resized = (Image.fromarray(image).resize(small, box).resize((width, height), box)
               for image in images)
    return np.stack([np.asarray(image) for image in resized])


def rgb_ghost(rng, images):
    """Green, mirrored, as red; blue as green; red as blue."""
    return np.stack([images[:, :, ::-1, 1], images[..., 2], images[..., 0]], axis=-1)


def invert(rng, images):
    """Green and blue inverted, red as it was."""
    return np.concatenate([images[..., :1], 255 - images[..., 1:]], axis=-1)


def photo(rng, images):
    """Patches of a photograph, which is none of the set `photos`."""
    num_images, height, width, _ = images.shape
    patches = photo_patches(rng, num_images, max(height, width), "china.jpg")
    return patches[:, :height, :width]


OUTLIER_KINDS = {
    function.__name__: function
    for function in (pairwise_means, jigsaw, pixelate, rgb_ghost, invert, photo)
}


# Of grey images they are made in colour, and turned grey.
IN_COLOUR = (pixelate, rgb_ghost, invert, photo)


def validation_outliers(images, seed=0):
    """All kinds of outliers, as many of each as there are images.

    Args:
        images: uint8 (N, H, W, 3) or (N, H, W, 1), in-distribution, pixels 0-255.
        seed: int >= 0.

    Returns:
        {kind: uint8, of the same shape} in the order of `OUTLIER_KINDS`.

    Raises:
        ValueError: the images are no uint8 RGB or grey images, or fewer than two.

    Reference:
        Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019, appendix A;
        kinds as in its released code.
    """
    images = np.asarray(images)
    channels = images.shape[-1] if images.ndim == 4 else None
    if images.dtype != np.uint8 or channels not in (1, 3) or len(images) < 2:
        raise InvalidInputError(
            "Expected at least two uint8 images of shape (N, H, W, 3) or (N, H, W, 1). "
            f"Received: dtype={images.dtype}, shape={images.shape}"
        )
    return {
        kind: to_channels(
            make(
                np.random.default_rng([seed, index]),
                to_channels(images, 3) if make in IN_COLOUR else images,
            ),
            channels,
        )
        for index, (kind, make) in enumerate(OUTLIER_KINDS.items())
    }
