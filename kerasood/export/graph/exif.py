"""Orientation of a JPEG, read from its EXIF block inside the graph."""

import tensorflow as tf

# The block begins the file, or follows segments that are at most this long.
SEARCHED_BYTES = 65_536
ORIENTATION, SHORT = 0x0112, 3
START = (0xFF, 0xE1, None, None, *b"Exif\0\0")
MAX_ENTRIES = 1000


def upright(image, encoded):
    """Turns and mirrors an image as the orientation in its file says.

    Args:
        image: uint8 tensor (H, W, 3), as decoded.
        encoded: string tensor, scalar, the JPEG file.

    Returns:
        uint8 tensor (H, W, 3) or (W, H, 3).
    """
    value = orientation(encoded)
    return tf.cond((value >= 2) & (value <= 8), lambda: _turned(image, value), lambda: image)


def orientation(encoded):
    """The orientation of a JPEG file: int32 scalar, 1 to 8, or anything else for none.

    Reference: CIPA DC-008 (Exif 2.32), 4.5.2 (structure) and 4.6.4 (tag 0x0112).
    """
    data = tf.io.decode_raw(tf.strings.substr(encoded, 0, SEARCHED_BYTES), tf.uint8)
    data = tf.pad(tf.cast(data, tf.int32), [[0, len(START)]])
    starts = tf.where(_is_start(data))[:, 0]
    # Without a block everything is read from the padding's zeros.
    start = tf.reduce_min(tf.concat([starts, [tf.size(data, tf.int64)]], axis=0))
    tiff = tf.cast(start, tf.int32) + len(START)
    is_little = _number(data, tiff, 1, False) == ord("I")
    directory = tiff + _number(data, tiff + 4, 4, is_little)
    count = tf.minimum(_number(data, directory, 2, is_little), MAX_ENTRIES)
    entries = directory + 2 + 12 * tf.range(count)
    tags, kinds, values = (_number(data, entries + at, 2, is_little) for at in (0, 2, 8))
    matches = tf.boolean_mask(values, (tags == ORIENTATION) & (kinds == SHORT))
    return tf.reduce_sum(matches[:1])


def _is_start(data):
    num_positions = tf.size(data) - len(START) + 1
    is_start = tf.fill([num_positions], True)
    for offset, byte in enumerate(START):
        if byte is not None:
            is_start &= data[offset : offset + num_positions] == byte
    return is_start


def _number(data, positions, num_bytes, is_little):
    """The unsigned numbers at some positions; zeros are read beyond the end."""
    value = 0
    for offset in range(num_bytes):
        at = tf.where(is_little, num_bytes - 1 - offset, offset) + positions
        value = 256 * value + tf.gather(data, tf.clip_by_value(at, 0, tf.size(data) - 1))
    return value


def _turned(image, value):
    image = tf.cond(value >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    is_mirrored = tf.reduce_any(value == [2, 3, 6, 7])
    is_upside_down = tf.reduce_any(value == [3, 4, 7, 8])
    image = tf.cond(is_mirrored, lambda: tf.reverse(image, [1]), lambda: image)
    return tf.cond(is_upside_down, lambda: tf.reverse(image, [0]), lambda: image)
