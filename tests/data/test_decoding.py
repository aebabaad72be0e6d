import io
import warnings

import numpy as np
import pytest
from PIL import Image

from kerasood.data import decoding
from kerasood.data.decoding import Resizing, decode, fit_to_square, to_rgb
from kerasood.data.registry import AS_THEY_ARE, SHORT_SIDE, ZERO_PADDED


def noise(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def naive_resize_rows(pixels, size):
    """Antialiased bilinear along axis 0 in float64: a triangle as wide as the shrink factor."""
    scale = len(pixels) / size
    support = max(scale, 1.0)
    rows = []
    for i in range(size):
        distance = np.abs(np.arange(len(pixels)) + 0.5 - (i + 0.5) * scale) / support
        weights = np.maximum(0, 1 - distance)
        rows.append(np.tensordot(weights / weights.sum(), pixels, axes=(0, 0)))
    return np.stack(rows)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP"])
def test_image_of_the_wanted_size_stays_byte_identical(kind):
    pixels = noise(32, 32) if kind != "GIF" else np.repeat(noise(32, 32, 1)[..., None], 3, -1)
    options = {"lossless": True} if kind == "WEBP" else {}
    source = Image.fromarray(pixels[..., 0]) if kind == "GIF" else Image.fromarray(pixels)
    np.testing.assert_array_equal(decode(encoded(source, kind, **options), 32), pixels)


@pytest.mark.parametrize(("height", "width"), [(64, 100), (90, 41), (20, 27)])
def test_resize_equals_a_naive_triangle_filter_and_centre_crop(height, width):
    pixels = noise(height, width)
    short = min(height, width)
    tall, wide = height * 32 // short, width * 32 // short
    expected = naive_resize_rows(pixels.astype(np.float64), tall)
    expected = naive_resize_rows(expected.swapaxes(0, 1), wide).swapaxes(0, 1)
    top, left = (tall - 32) // 2, (wide - 32) // 2
    expected = expected[top : top + 32, left : left + 32]
    image = np.asarray(fit_to_square(Image.fromarray(pixels), 32))
    assert image.shape == (32, 32, 3)
    assert np.abs(image - expected).max() < 1.5


def test_modes_worked_by_hand():
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (200, 100, 50, 255)
    rgba[0, 1] = (200, 100, 50, 51)
    rgba[1, 0] = (200, 100, 50, 0)
    composited = np.asarray(to_rgb(Image.fromarray(rgba)))
    assert composited.tolist() == [[[200, 100, 50], [40, 20, 10]], [[0, 0, 0], [0, 0, 0]]]
    grey_alpha = Image.fromarray(np.array([[[100, 255], [100, 0]]], np.uint8))
    assert np.asarray(to_rgb(grey_alpha)).tolist() == [[[100] * 3, [0] * 3]]
    deep = Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16))
    assert np.asarray(to_rgb(deep))[0, :, 1].tolist() == [0, 1, 128, 255]
    binary = Image.fromarray(np.array([[True, False]]))
    assert np.asarray(to_rgb(binary)).tolist() == [[[255] * 3, [0] * 3]]


def test_deep_grey_png_is_scaled_not_clipped():
    values = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    image = decode(encoded(Image.fromarray(values)), 32)
    np.testing.assert_array_equal(image[..., 0], np.round(values / 257).astype(np.uint8))


def test_palette_with_and_without_transparency():
    palette = Image.fromarray(noise(32, 32)).quantize(16)
    np.testing.assert_array_equal(decode(encoded(palette), 32), np.asarray(palette.convert("RGB")))
    indices = np.asarray(palette)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = decode(encoded(palette, transparency=3), 32)
    assert np.all(image[indices == 3] == 0)
    np.testing.assert_array_equal(
        image[indices != 3], np.asarray(palette.convert("RGB"))[indices != 3]
    )


def test_cmyk_jpeg_keeps_its_colours():
    red = Image.new("RGB", (32, 32), (250, 10, 10))
    image = decode(encoded(red.convert("CMYK"), "JPEG"), 32)
    assert np.abs(image.astype(int) - (250, 10, 10)).max() <= 4


def test_exif_orientation_is_applied():
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown rotated by 90 degrees clockwise: the top goes to the right
    image = decode(encoded(Image.fromarray(pixels), "JPEG", exif=exif), 32)
    assert image[:, 20:].min() > 200 and image[:, :12].max() < 50


def test_first_frame_of_an_animation():
    frames = [Image.new("L", (32, 32), value) for value in (40, 200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.unique(decode(data, 32)).tolist() == [40]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_truncated_image_is_unreadable(kind, kept):
    data = encoded(Image.fromarray(noise(64, 64)), kind)
    assert isinstance(decode(data, 32), np.ndarray)
    reason = decode(data[: int(kept * len(data))], 32)
    assert isinstance(reason, str) and ": " in reason


def test_huge_images_are_unreadable_without_being_decoded(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 10_000)
    assert "101x100 pixels are too many" in decode(encoded(Image.new("L", (101, 100))), 32)
    # 2 x 700 pixels are few, but with 32 on the short side they would be 32 x 11200.
    assert "2x700 pixels are too many" in decode(encoded(Image.new("L", (2, 700))), 32)
    assert isinstance(decode(encoded(Image.new("L", (100, 100))), 32), np.ndarray)


def test_other_formats_are_not_opened():
    assert decode(encoded(Image.new("RGB", (32, 32)), "PPM"), 32).startswith("UnidentifiedImage")


def test_sets_published_in_32x32_are_not_resized():
    data = encoded(Image.fromarray(noise(36, 36, 3)))
    with pytest.raises(ValueError, match="expected 32x32 pixels.*Received: 36x36"):
        decode(data, 32, Resizing(AS_THEY_ARE))
    assert decode(data, 32, Resizing(SHORT_SIDE)).shape == (32, 32, 3)
    assert decode(data, 64, Resizing(AS_THEY_ARE)).shape == (64, 64, 3)


def test_of_a_36x36_image_with_a_plain_border_the_inside_is_taken():
    pixels = np.full((36, 36, 3), 7, np.uint8)
    pixels[:2] += 16  # what JPEG does to a border of one colour
    pixels[2:-2, 2:-2] = noise(32, 32, 3)
    image = decode(encoded(Image.fromarray(pixels)), 32, Resizing(AS_THEY_ARE))
    np.testing.assert_array_equal(image, noise(32, 32, 3))
    pixels[35, 20] = 24
    with pytest.raises(ValueError, match="Received: 36x36"):
        decode(encoded(Image.fromarray(pixels)), 32, Resizing(AS_THEY_ARE))


def test_zero_padding_from_28_to_32():
    pixels = noise(28, 28, 1)
    image = decode(encoded(Image.fromarray(pixels)), 32, Resizing(ZERO_PADDED))
    np.testing.assert_array_equal(image[2:30, 2:30, 2], pixels)
    assert image.sum() == 3 * int(pixels.sum())
