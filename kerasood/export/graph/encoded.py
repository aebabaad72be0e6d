"""JPEG and PNG bytes to squares inside the graph, as kerasood.data.decoding does outside it."""

import tensorflow as tf

from kerasood.data.decoding import DEFAULT, MAX_PIXELS
from kerasood.errors import InvalidInputError
from kerasood.export.graph.exif import upright

# Pixels that a JPEG is decoded to at most, in 160 MB of memory; one of more is decoded at a half, a
# quarter or an eighth of its sides. A PNG cannot be, and takes up to eleven bytes a pixel.
MAX_DECODED = 24_000_000
MAX_PNG = 54_000_000
FRACTIONS = (1, 2, 4, 8)
PNG_START, JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def check_max_pixels(max_pixels):
    """Refuses a limit beyond what JPEG files can be decoded at an eighth of.

    Raises:
        InvalidInputError: it is no int, below 1 or too large.
    """
    largest = MAX_DECODED * FRACTIONS[-1] ** 2
    if type(max_pixels) is not int or not 1 <= max_pixels <= largest:
        raise InvalidInputError(
            f"Expected max_pixels from 1 to {largest}. Received: max_pixels={max_pixels!r}"
        )


def decode_images(encoded, image_size, max_pixels=MAX_PIXELS, resizing=DEFAULT):
    """Decodes a batch; what cannot be decoded is marked and does not disturb the others.

    The images are decoded one after the other, so that memory is bounded whatever their number.

    Args:
        encoded: string tensor (N,), each a JPEG or PNG file; N may be 0.
        image_size: int, side of the squares, pixels.
        max_pixels: int, pixels of the largest JPEG; of a PNG at most MAX_PNG of them.
        resizing: Resizing of images of other sizes.

    Returns:
        Tuple of images, uint8 (N, S, S, 3), zeros where invalid, and valid, bool (N,).
    """
    # A failing op fails the whole graph everywhere but in a dataset.
    num_images = tf.shape(encoded)[0]
    decoded = tf.data.Dataset.from_tensor_slices((tf.range(num_images), encoded))
    decoded = decoded.map(
        lambda row, item: (row, decode_image(item, image_size, max_pixels, resizing))
    )
    blank = tf.zeros((image_size, image_size, 3), tf.uint8)
    blank = tf.data.Dataset.from_tensors((num_images, blank))
    together = decoded.ignore_errors().concatenate(blank).batch(tf.int64.max)
    rows, images = together.get_single_element()
    num_rows = tf.shape(rows)[0]
    positions = tf.fill([num_images + 1], num_rows - 1)
    positions = tf.tensor_scatter_nd_update(positions, rows[:, None], tf.range(num_rows))
    positions = positions[:num_images]
    return tf.gather(images, positions), positions < num_rows - 1


def decode_image(encoded, image_size, max_pixels=MAX_PIXELS, resizing=DEFAULT):
    """Decodes one JPEG or PNG file as kerasood.data.decoding does.

    The decoders give the same pixels as Pillow, 16-bit ones up to one grey level; the resizing
    rounds after each axis as Pillow does, and differs by one or two levels where a value lies
    half-way between two. Orientations are applied from a JPEG's EXIF block only.

    Args:
        encoded: string tensor, scalar.
        image_size: int, pixels.
        max_pixels: int, pixels of the largest JPEG; of a PNG at most MAX_PNG of them.
        resizing: Resizing of images of other sizes.

    Returns:
        uint8 tensor (S, S, 3), pixels 0-255.

    Raises:
        tf.errors.InvalidArgumentError, when run: it is no JPEG or PNG file, damaged, has more
            pixels than that, or would have more than MAX_DECODED once resized; both are seen before
            decoding.
    """
    is_png, is_jpeg = (_starts_with(encoded, start) for start in (PNG_START, JPEG_START))
    with tf.control_dependencies([tf.debugging.Assert(is_png | is_jpeg, ["no JPEG, no PNG"])]):
        size = tf.cond(is_png, lambda: _png_size(encoded), lambda: _jpeg_size(encoded))
    limit = tf.where(is_png, min(max_pixels, MAX_PNG), max_pixels)
    with tf.control_dependencies([_refuse_huge(size, image_size, limit)]):
        image = tf.cond(is_png, lambda: _decode_png(encoded), lambda: _decode_jpeg(encoded, size))
    return fit_to_square(image, image_size, resizing)


def to_grey(images):
    """uint8 (N, H, W, 3) -> (N, H, W, 1), as `kerasood.data.decoding.to_channels`."""
    luma = tf.tensordot(tf.cast(images, tf.int32), tf.constant([19595, 38470, 7471]), 1)
    return tf.cast((luma + 0x8000) // 0x10000, tf.uint8)[..., None]


def fit_to_square(image, image_size, resizing=DEFAULT):
    """Makes an image square as kerasood.data.decoding does with a user's own images.

    Args:
        image: uint8 tensor (H, W, 3).
        image_size: int, pixels.
        resizing: Resizing; its `method` and `antialias` count.

    Returns:
        uint8 tensor (S, S, 3).
    """
    height, width = tf.unstack(_resized(tf.shape(image)[:2], image_size, resizing.method))
    if resizing.antialias:
        image = tf.transpose(_resize_rows(tf.transpose(image, (1, 0, 2)), width), (1, 0, 2))
        image = _resize_rows(image, height)
    else:
        image = _resample(image, height, width, antialias=False)
    if resizing.method == "pad":
        top, left = (image_size - height) // 2, (image_size - width) // 2
        bottom, right = image_size - height - top, image_size - width - left
        image = tf.pad(image, [[top, bottom], [left, right], [0, 0]])
    else:
        top, left = (height - image_size) // 2, (width - image_size) // 2
        image = image[top : top + image_size, left : left + image_size]
    return tf.ensure_shape(image, (image_size, image_size, 3))


def _resize_rows(image, num_rows):
    """Resamples (H, W, C) along H with a triangle filter as wide as the shrink factor."""
    return _resample(image, num_rows, tf.shape(image)[1], antialias=True)


def _resample(image, height, width, antialias):
    size = tf.stack([height, width])
    resized = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=size,
        scale=tf.cast(size, tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32),
        translation=[0.0, 0.0],
        kernel_type="triangle",
        antialias=antialias,
    )[0]
    return tf.cast(tf.clip_by_value(tf.floor(resized + 0.5), 0, 255), tf.uint8)


def _resized(size, image_size, method="crop"):
    if method == "stretch":
        return tf.fill([2], tf.cast(image_size, size.dtype))
    side = tf.reduce_min(size) if method == "crop" else tf.reduce_max(size)
    return tf.maximum(size * image_size // side, 1)


def _refuse_huge(size, image_size, limit):
    size = tf.cast(size, tf.int64)
    has_area = tf.reduce_min(size) > 0
    resized = _resized(tf.maximum(size, 1), image_size)
    is_small = tf.reduce_prod(size) <= tf.cast(limit, tf.int64)
    is_small &= tf.reduce_prod(resized) <= MAX_DECODED
    return tf.debugging.Assert(has_area & is_small, ["no or too many pixels", size])


def _png_size(encoded):
    """Height and width, (2,) int32, from the IHDR chunk that every PNG file begins with."""
    header = tf.strings.substr(encoded, 16, 8)
    width, height = tf.unstack(tf.io.decode_raw(header, tf.int32, little_endian=False), num=2)
    return tf.stack([height, width])


def _jpeg_size(encoded):
    return tf.io.extract_jpeg_shape(encoded)[:2]


def _decode_png(encoded):
    """RGB of any PNG image, what is transparent composited on black."""
    image = tf.io.decode_png(encoded, channels=4)
    # TensorFlow fills the missing alpha of images of 1, 2 or 4 bits with 1, 3 or 15.
    depth = tf.io.decode_raw(tf.strings.substr(encoded, 24, 1), tf.uint8)[0]
    filler = tf.bitwise.right_shift(tf.constant(255, tf.uint8), 8 - tf.minimum(depth, 8))
    alpha = image[..., 3]
    lowest, highest = tf.reduce_min(alpha), tf.reduce_max(alpha)
    is_opaque = (lowest == highest) & ((lowest == 255) | (lowest == filler))
    return tf.cond(is_opaque, lambda: image[..., :3], lambda: _on_black(image))


def _on_black(image):
    """Colours * alpha / 255 of (H, W, 4), row by row: in bounded memory beside the image."""
    return tf.map_fn(
        lambda number: _row_on_black(image[number]), tf.range(tf.shape(image)[0]),
        parallel_iterations=1, fn_output_signature=tf.uint8,
    )


def _row_on_black(row):
    """The same of (W, 4), rounded, without leaving 16 bits."""
    product = tf.cast(row[:, :3], tf.uint16) * tf.cast(row[:, 3:], tf.uint16) + 128
    return tf.cast((product + product // 256) // 256, tf.uint8)


def _decode_jpeg(encoded, size):
    def at(fraction):
        # The default for dct_method, the fast one, differs from Pillow by up to 16 grey levels.
        return lambda: tf.io.decode_jpeg(
            encoded, channels=3, ratio=fraction, dct_method="INTEGER_ACCURATE"
        )

    num_pixels = tf.reduce_prod(tf.cast(size, tf.int64))
    too_large = [num_pixels > MAX_DECODED * fraction**2 for fraction in FRACTIONS[:-1]]
    index = tf.reduce_sum(tf.cast(tf.stack(too_large), tf.int32))
    image = tf.switch_case(index, [at(fraction) for fraction in FRACTIONS])
    return upright(image, encoded)


def _starts_with(encoded, start):
    return tf.equal(tf.strings.substr(encoded, 0, len(start)), start)
