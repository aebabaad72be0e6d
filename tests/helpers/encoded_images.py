"""Image files of every kind that the signatures on encoded images must know."""

import io

import numpy as np
from PIL import Image

from kerasood.data.decoding import decode
from kerasood.quiet import quiet

SIDE = 32


def encode(pixels, kind="PNG", **options):
    """The bytes of a file: `pixels` is an array or a Pillow image."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(height, width, channels=3, seed=0):
    """uint8 noise, (H, W, channels), or (H, W) for one channel."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def picture(height, width, seed=0):
    """Smooth colours, as photographs have; JPEG keeps most of them."""
    small = Image.fromarray(noise(1 + height // 8, 1 + width // 8, seed=seed))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def huge_png(width, height):
    """A valid PNG of one colour, whatever its size a few hundred bytes."""
    return encode(Image.new("1", (width, height)))


def difference(graph, file, side=SIDE):
    """The largest difference to the offline decoder, in grey levels, and the share of values."""
    images, valid = graph([file], side)
    expected = decode(file, side)
    assert valid.tolist() == [True] and isinstance(expected, np.ndarray)
    differences = np.abs(images[0].astype(int) - expected)
    return differences.max(), np.mean(differences > 0)


def silenced(call):
    """Runs `call` with the decoders' complaints about damaged files kept off the screen."""
    with quiet():
        return call()
