"""Files that announce more pixels than a server should decode."""

import struct

import numpy as np
import pytest
import tensorflow as tf
from encoded_images import SIDE, difference, encode, huge_png, noise, picture

from kerasood.data import decoding
from kerasood.export.graph import encoded
from kerasood.export.graph.encoded import decode_images


def sized_png(width, height):
    """A PNG whose header says one size and whose rest is of another."""
    file = bytearray(huge_png(10, 10))
    file[16:24] = struct.pack(">II", width, height)
    return bytes(file)


def sized_jpeg(width, height):
    file = bytearray(encode(noise(10, 10), "JPEG"))
    at = file.index(b"\xff\xc0")
    file[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(file)


def test_huge_images_are_refused_before_they_are_decoded(graph, monkeypatch):
    decoded = []

    def record(*arguments, **options):
        decoded.append(arguments)
        raise tf.errors.InvalidArgumentError(None, None, "decoded")

    sixty_megapixels = huge_png(10_000, 6000)
    assert len(sixty_megapixels) < 20_000
    files = [
        sixty_megapixels,
        sized_png(2**31 - 1, 2**31 - 1),
        sized_png(2**32 - 1, 1),
        sized_png(0, 5),
        sized_jpeg(65_000, 65_000),
        sized_jpeg(0, 5),
        huge_png(1, 1_000_000),  # small, but with 32 on the short side 1,024 million pixels
    ]
    good = encode(noise(SIDE, SIDE))
    images, valid = graph([*files, good])
    assert valid.tolist() == [False] * len(files) + [True]
    np.testing.assert_array_equal(images[-1], noise(SIDE, SIDE))
    monkeypatch.setattr(tf.io, "decode_png", record)
    monkeypatch.setattr(tf.io, "decode_jpeg", record)
    for file in files:
        with pytest.raises(tf.errors.InvalidArgumentError, match="pixels|Invalid JPEG"):
            encoded.decode_image(tf.constant(file), SIDE)
    assert not decoded


def test_a_png_of_fifty_megapixels_is_not_too_large(monkeypatch):
    assert encoded.MAX_PNG > 50e6
    monkeypatch.setattr(encoded, "MAX_PNG", 6000 * 4000)
    files = tf.constant([huge_png(6000, 4000), huge_png(6000, 4001)])
    assert decode_images(files, SIDE)[1].numpy().tolist() == [True, False]


def test_a_jpeg_of_fifty_megapixels_is_decoded_at_half_its_sides(graph):
    file = encode(picture(6200, 8100), "JPEG", quality=90)
    assert 50e6 < 6200 * 8100 < decoding.MAX_PIXELS
    largest, share = difference(graph, file)
    # The halved sides are means of the file's own frequencies, the rest a resampling as ever.
    assert largest <= 3 and share < 0.5


def test_a_jpeg_is_decoded_at_the_fraction_that_fits(monkeypatch):
    monkeypatch.setattr(encoded, "MAX_DECODED", 40 * 60)
    for factor, fraction in ((1, 1), (2, 2), (3, 4), (4, 4), (5, 8)):
        file = encode(picture(40 * factor, 60 * factor), "JPEG", quality=95)
        decoded = encoded._decode_jpeg(tf.constant(file), tf.constant([40 * factor, 60 * factor]))
        assert decoded.shape[:2] == (-(-40 * factor // fraction), -(-60 * factor // fraction))


@pytest.mark.parametrize("max_pixels", [0, -5, True, 2.5, 10**10])
def test_limits_that_cannot_be_kept(max_pixels):
    with pytest.raises(ValueError, match="Expected max_pixels from 1 to 1536000000. Received"):
        encoded.check_max_pixels(max_pixels)


def test_the_limit_is_a_parameter():
    files = tf.constant([encode(noise(20, 20)), encode(picture(20, 21), "JPEG")])
    assert decode_images(files, SIDE, max_pixels=400)[1].numpy().tolist() == [True, False]
    assert decode_images(files, SIDE, max_pixels=420)[1].numpy().tolist() == [True, True]
