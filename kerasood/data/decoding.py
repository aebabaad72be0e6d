"""Encoded images of any mode and size to uint8 squares, all through Pillow."""
import concurrent.futures
import contextlib
import functools
import io
import os
import stat
import threading
from typing import NamedTuple

import numpy as np
import PIL
from PIL import Image, ImageOps

from kerasood.data.registry import AS_THEY_ARE, SHORT_SIDE, ZERO_PADDED
from kerasood.errors import InvalidInputError
from kerasood.logs import log
from kerasood.names import shown

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
RESIZINGS = ("crop", "stretch", "pad")
MAX_PIXELS = 89_478_485  # Pillow's own decompression-bomb limit, here also for the resized image
MANY_PIXELS = 1 << 24  # a thread decodes such an image alone: it takes up to 12 bytes a pixel
PUBLISHED_SIZE = 32
# LSUN-Crop has been described both as 32x32 and as 36x36 with a plain border.
FRAMED_SIZE, FRAME, FRAME_RANGE = 36, 2, 16
# Part of the identity of decoded images: raise the number when a rule of this module changes.
RULES = f"2, Pillow {PIL.__version__}"
WORKERS = min(8, os.cpu_count() or 1)

_one_large_image, _any_other = threading.Lock(), contextlib.nullcontext()


class Resizing(NamedTuple):
    """The way in which images of other sizes become squares.

    Args:
        published: `AS_THEY_ARE` refuses, and `ZERO_PADDED` pads, what is not 32x32 when 32x32 is
            wanted; `SHORT_SIDE` always resizes. Of 36x36 images with a plain border, two pixels
            wide, `AS_THEY_ARE` takes the 32x32 inside, and warns.
        method, antialias: see `DataOptions`.
    """

    published: str = SHORT_SIDE
    method: str = "crop"
    antialias: bool = True


DEFAULT = Resizing()


def resizing_of(options, spec=None) -> Resizing:
    """Returns the Resizing that DataOptions ask for, of a registered set or a user's own images."""
    published = spec.resizing if spec else SHORT_SIDE
    return Resizing(published, options.resizing, options.antialias)


def decode_all(items, image_size: int, resizing: Resizing = DEFAULT):
    """Decodes images side by side, in order.

    Args:
        items: list of paths, or of the files' bytes.
        image_size: side of the squares, pixels.
        resizing: Resizing.

    Returns:
        List with one entry an item: uint8 `(S, S, 3)`, or the reason (str) why it is unreadable.
    """
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(lambda item: decode(item, image_size, resizing), items))


def decode(item, image_size: int, resizing: Resizing = DEFAULT):
    """Returns one image as uint8 `(S, S, 3)`, or the reason (str) why it is unreadable.

    Raises:
        ValueError: when the image is sound but must not be resized.
    """
    rgb = decode_rgb(item, image_size)
    if isinstance(rgb, str):
        return rgb
    try:
        return np.array(fit_to_square(rgb, image_size, resizing))
    except ValueError as error:
        raise InvalidInputError(f"{_label(item)}: {error}") from None


def decode_rgb(item, image_size: int):
    """Returns one upright image as a Pillow image, RGB, or the reason (str) why it is unreadable.

    Args:
        item: path, or the file's bytes.
        image_size: side that it will be resized to, pixels.
    """
    try:
        with Image.open(_opened(item), formats=FORMATS) as image:
            _refuse_huge(image, image_size)
            with _one_large_image if image.width * image.height > MANY_PIXELS else _any_other:
                ImageOps.exif_transpose(image, in_place=True)
                return to_rgb(image)
    except Exception as error:  # Pillow's decoders raise SyntaxError, struct.error, ... on damage
        return shown(f"{type(error).__name__}: {error}")


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
        rgb = Image.new("RGB", image.size)
        rgb.paste(image, mask=image.getchannel("A"))
        return rgb
    return image.convert("RGB")


def fit_to_square(image, image_size: int, resizing: Resizing = DEFAULT):
    """Makes an RGB image square; one that has the wanted size already stays as it is.

    Args:
        image: Pillow image, RGB.
        image_size: wanted side, pixels.
        resizing: Resizing; the uint8 pixels are resampled bilinearly.
    """
    wanted = (image_size, image_size)
    if image.size == wanted:
        return image
    if image_size == PUBLISHED_SIZE and resizing.published == AS_THEY_ARE:
        if _is_framed(image):
            _warn_once(
                "Images of %dx%d pixels: their plain border of %d is cut off", *image.size, FRAME
            )
            return image.crop((FRAME, FRAME, FRAME + image_size, FRAME + image_size))
        raise InvalidInputError(
            f"expected {image_size}x{image_size} pixels, the size this set is published in; crop "
            f"or resize it beforehand. Received: {image.width}x{image.height}"
        )
    is_padded = image_size == PUBLISHED_SIZE and resizing.published == ZERO_PADDED
    if is_padded and max(image.size) < image_size:
        return _pad(image, image_size)
    image = _resample(image, _resized(image.size, image_size, resizing.method), resizing.antialias)
    if resizing.method == "pad":
        return _pad(image, image_size)
    left, top = ((side - image_size) // 2 for side in image.size)
    return image.crop((left, top, left + image_size, top + image_size))


def as_picture(image):
    """A PIL image of uint8 `(H, W, 3)` or, in grey, `(H, W, 1)`."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def resize_all(images, image_size: int, resizing: Resizing = DEFAULT):
    """Images as squares, see `fit_to_square`: uint8 `(N, H, W, C)` -> `(N, S, S, C)`."""
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        squares = pool.map(
            lambda image: np.asarray(fit_to_square(as_picture(image), image_size, resizing)),
            images,
        )
        return np.stack(list(squares)).reshape(len(images), image_size, image_size, -1)


def to_channels(images, channels: int):
    """uint8 `(N, H, W, 1 or 3)` -> `(N, H, W, channels)`: grey repeated, or luma (ITU-R 601)."""
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    red, green, blue = (images[..., channel].astype(np.uint32) for channel in range(3))
    luma = 19595 * red + 38470 * green + 7471 * blue + 0x8000  # as Pillow rounds it
    return (luma >> 16).astype(np.uint8)[..., None]


def published_size(published: str):
    """(height, width) in which all images of a set are published, or None; by its `resizing`."""
    side = {AS_THEY_ARE: PUBLISHED_SIZE, ZERO_PADDED: 28}.get(published)
    return side and (side, side)


def _is_framed(image):
    if image.size != (FRAMED_SIZE, FRAMED_SIZE):
        return False
    pixels = np.asarray(image)
    inside = np.zeros(pixels.shape[:2], bool)
    inside[FRAME:-FRAME, FRAME:-FRAME] = True
    return bool(np.ptp(pixels[~inside], axis=0).max() <= FRAME_RANGE)


def _pad(image, image_size):
    canvas = Image.new(image.mode, (image_size, image_size))
    canvas.paste(image, ((image_size - image.width) // 2, (image_size - image.height) // 2))
    return canvas


def _resized(size, image_size, method="crop"):
    if method == "stretch":
        return image_size, image_size
    side = min(size) if method == "crop" else max(size)
    return tuple(max(1, length * image_size // side) for length in size)


def _resample(image, size, antialias):
    if antialias:
        return image.resize(size, Image.Resampling.BILINEAR)
    across, down = (old / new for old, new in zip(image.size, size, strict=True))
    scale = (across, 0, 0, 0, down, 0)
    return image.transform(size, Image.Transform.AFFINE, scale, Image.Resampling.BILINEAR)


def _refuse_huge(image, image_size):
    for width, height in (image.size, _resized(image.size, image_size)):
        if width * height > MAX_PIXELS:
            raise InvalidInputError(f"{image.width}x{image.height} pixels are too many to decode")


def _opened(item):
    if isinstance(item, bytes):
        return io.BytesIO(item)
    if not stat.S_ISREG(os.stat(item).st_mode):  # reading a pipe or device may never end
        raise OSError("not a regular file")
    return item


def _label(item):
    return "an encoded image" if isinstance(item, bytes) else shown(item)


@functools.cache
def _warn_once(*message):
    log.warning(*message)
