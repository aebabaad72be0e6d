"""Encoded images of any mode and size to uint8 squares, all through Pillow."""
import concurrent.futures
import functools
import io
import os

import numpy as np
import PIL
from PIL import Image, ImageOps

from kerasood.data.registry import AS_THEY_ARE, SHORT_SIDE, ZERO_PADDED
from kerasood.errors import InvalidInputError
from kerasood.logs import log

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 89_478_485  # Pillow's own decompression-bomb limit, here also for the resized image
PUBLISHED_SIZE = 32
# LSUN-Crop has been described both as 32x32 and as 36x36 with a plain border.
FRAMED_SIZE, FRAME, FRAME_RANGE = 36, 2, 16
# Part of the identity of decoded images: raise the number when a rule of this module changes.
RULES = f"1, Pillow {PIL.__version__}"
WORKERS = min(8, os.cpu_count() or 1)


def decode_all(items, image_size: int, resizing: str):
    """Decodes images side by side, in order.

    Args:
        items: list of paths, or of the files' bytes.
        image_size: side of the squares, pixels.
        resizing: see `fit_to_square`.

    Returns:
        List with one entry an item: uint8 `(S, S, 3)`, or the reason (str) why it is unreadable.
    """
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(lambda item: decode(item, image_size, resizing), items))


def decode(item, image_size: int, resizing: str = SHORT_SIDE):
    """Returns one image as uint8 `(S, S, 3)`, or the reason (str) why it is unreadable.

    Raises:
        ValueError: when the image is sound but must not be resized.
    """
    try:
        with Image.open(_opened(item), formats=FORMATS) as image:
            _refuse_huge(image, image_size)
            ImageOps.exif_transpose(image, in_place=True)
            rgb = to_rgb(image)
    except Exception as error:  # Pillow's decoders raise SyntaxError, struct.error, ... on damage
        return f"{type(error).__name__}: {error}"
    try:
        return np.array(fit_to_square(rgb, image_size, resizing))
    except ValueError as error:
        raise InvalidInputError(f"{_label(item)}: {error}") from None


def to_rgb(image):
    """Converts a Pillow image of any mode to RGB.

    16-bit grey is scaled to 8 bits (Pillow would clip it); transparent pixels are composited on
    black; of an animation only the first frame is seen.
    """
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image, np.float64), 0, 65535)
        return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise InvalidInputError("floating-point pixels have no known range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image).convert("RGB")
    return image.convert("RGB")


def fit_to_square(image, image_size: int, resizing: str = SHORT_SIDE):
    """Makes an RGB image square; one that has the wanted size already stays as it is.

    The short side becomes `image_size` by antialiased bilinear resampling of the uint8 pixels,
    then the centre is cropped.

    Args:
        image: Pillow image, RGB.
        image_size: wanted side, pixels.
        resizing: `AS_THEY_ARE` refuses, and `ZERO_PADDED` pads, what is not 32x32 when 32x32 is
            wanted; `SHORT_SIDE` always resizes. Of 36x36 images with a plain border, two pixels
            wide, `AS_THEY_ARE` takes the 32x32 inside, and warns.
    """
    wanted = (image_size, image_size)
    if image.size == wanted:
        return image
    if image_size == PUBLISHED_SIZE and resizing == AS_THEY_ARE:
        if _is_framed(image):
            _warn_once(
                "Images of %dx%d pixels: their plain border of %d is cut off", *image.size, FRAME
            )
            return image.crop((FRAME, FRAME, FRAME + image_size, FRAME + image_size))
        raise InvalidInputError(
            f"expected {image_size}x{image_size} pixels, the size this set is published in; crop "
            f"or resize it beforehand. Received: {image.width}x{image.height}"
        )
    if image_size == PUBLISHED_SIZE and resizing == ZERO_PADDED and max(image.size) < image_size:
        return _pad(image, image_size)
    image = image.resize(_resized(image.size, image_size), Image.Resampling.BILINEAR)
    left, top = ((side - image_size) // 2 for side in image.size)
    return image.crop((left, top, left + image_size, top + image_size))


def resize_all(images, image_size: int):
    """Images as squares, see `fit_to_square`: uint8 `(N, H, W, 3)` -> `(N, S, S, 3)`."""
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        squares = pool.map(lambda image: fit_to_square(Image.fromarray(image), image_size), images)
        return np.stack([np.asarray(square) for square in squares])


def published_size(resizing: str):
    """(height, width) in which all images of a set are published, or None; by its `resizing`."""
    side = {AS_THEY_ARE: PUBLISHED_SIZE, ZERO_PADDED: 28}.get(resizing)
    return side and (side, side)


def _is_framed(image):
    if image.size != (FRAMED_SIZE, FRAMED_SIZE):
        return False
    pixels = np.asarray(image)
    inside = np.zeros(pixels.shape[:2], bool)
    inside[FRAME:-FRAME, FRAME:-FRAME] = True
    return bool(np.ptp(pixels[~inside], axis=0).max() <= FRAME_RANGE)


def _pad(image, image_size):
    canvas = Image.new("RGB", (image_size, image_size))
    canvas.paste(image, ((image_size - image.width) // 2, (image_size - image.height) // 2))
    return canvas


def _resized(size, image_size):
    short = min(size)
    return tuple(side * image_size // short for side in size)


def _refuse_huge(image, image_size):
    for width, height in (image.size, _resized(image.size, image_size)):
        if width * height > MAX_PIXELS:
            raise InvalidInputError(f"{image.width}x{image.height} pixels are too many to decode")


def _opened(item):
    return io.BytesIO(item) if isinstance(item, bytes) else item


def _label(item):
    return "an encoded image" if isinstance(item, bytes) else item


@functools.cache
def _warn_once(*message):
    log.warning(*message)
