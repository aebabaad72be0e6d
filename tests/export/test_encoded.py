"""Files decoded in the graph against the same files decoded by kerasood.data.decoding."""

import struct

import keras
import numpy as np
import pytest
import tensorflow as tf
from encoded_images import SIDE, difference, encode, noise, picture
from PIL import Image
from tiny_models import small_network

from kerasood.data import decoding
from kerasood.data.decoding import decode
from kerasood.detectors import Energy
from kerasood.export.graph import encoded
from kerasood.export.graph.encoded import decode_images
from kerasood.export.graph.endpoints import build_endpoints
from kerasood.export.graph.exif import orientation
from kerasood.extractor.build import build_extractor
from kerasood.extractor.preprocessing import Preprocessing
from kerasood.serving import OODModel

PALETTE = Image.fromarray(noise(SIDE, SIDE)).quantize(16)
GREY = noise(SIDE, SIDE, 1)
ON_OFF = Image.fromarray(GREY > 100)


@pytest.mark.parametrize(
    "file",
    [
        encode(noise(SIDE, SIDE)),
        encode(noise(SIDE, SIDE), compress_level=0),
        encode(GREY),
        encode(GREY, transparency=int(GREY[3, 3])),
        encode(np.dstack([GREY, GREY.T])),
        encode(noise(SIDE, SIDE, 4)),
        encode(noise(SIDE, SIDE), transparency=tuple(noise(SIDE, SIDE)[0, 0].tolist())),
        encode(PALETTE),
        encode(PALETTE, bits=8),
        encode(PALETTE, transparency=3),
        encode(ON_OFF),
        encode(ON_OFF, transparency=0),
        encode(picture(SIDE, SIDE), "JPEG", quality=95, subsampling=0),
        encode(picture(SIDE, SIDE), "JPEG", quality=60, subsampling=2),
        encode(picture(SIDE, SIDE), "JPEG", progressive=True),
        encode(Image.fromarray(GREY), "JPEG"),
        encode(Image.fromarray(picture(SIDE, SIDE)).convert("CMYK"), "JPEG"),
    ],
    ids="rgb stored grey grey-keyed grey-alpha rgba rgb-keyed palette-4 palette-8 palette-alpha "
    "binary binary-keyed jpeg-444 jpeg-420 jpeg-progressive jpeg-grey jpeg-cmyk".split(),
)
def test_every_kind_of_file_gives_the_same_pixels(graph, file):
    assert decode(file, SIDE).std() > 1
    assert difference(graph, file) == (0, 0)


def test_deep_images_within_one_grey_level(graph):
    values = noise(SIDE, SIDE, 1).astype(np.uint16) * 257 + noise(SIDE, SIDE, 1, seed=1)
    assert difference(graph, encode(Image.fromarray(values)))[0] <= 1


def test_alpha_on_black_is_exact_for_every_pair():
    colours, alpha = np.meshgrid(np.arange(256), np.arange(256))
    image = np.stack([colours, colours, colours, alpha], axis=-1)
    composited = encoded._on_black(tf.constant(image, tf.uint8)).numpy()
    np.testing.assert_array_equal(composited[..., 0], (2 * colours * alpha + 255) // 510)


# The share is of values half-way between two levels. Pillow 13 resizes the last one, which is more
# than twice as tall as wide, in the other order of axes; others did not.
@pytest.mark.parametrize(
    ("height", "width", "share"),
    [
        (64, 101, 0.01),
        (375, 500, 0.01),
        (31, 33, 0.05),
        (20, 27, 0.05),
        (7, 5, 0.05),
        (1, 3, 0.05),
        (33, 400, 0.05),
        (SIDE, SIDE + 5, 0),
        (1200, 800, 0.01),
        (90, 41, 0.3),
    ],
)
def test_resized_as_offline(graph, height, width, share):
    largest, differing = difference(graph, encode(noise(height, width)))
    assert largest <= 1 and differing <= share
    largest, differing = difference(graph, encode(noise(height, width)), side=96)
    assert largest <= 2 and differing <= 0.3


@pytest.mark.slow
def test_resized_as_offline_at_a_hundred_sizes(graph):
    generator = np.random.default_rng(0)
    shares = []
    for seed in range(100):
        height, width = np.exp(generator.uniform(0, np.log(900), 2)).astype(int) + 1
        for side in (SIDE, 96):
            largest, share = difference(graph, encode(noise(height, width, seed=seed)), side)
            assert largest <= 2 and share < (0.08 if height <= 2 * width else 0.3)
            shares.append(share)
    assert np.median(shares) < 0.01 and np.mean(shares) < 0.05


def test_colours_do_not_drift_over_the_edge(graph):
    pixels = np.where(noise(61, 47) > 127, 255, 0).astype(np.uint8)
    assert difference(graph, encode(pixels))[0] <= 1


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("value", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_photographs_are_turned_as_their_exif_says(graph, value, byte_order):
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x010F], exif[0x0112] = "a camera", value
    file = encode(picture(40, 61), "JPEG", exif=exif)
    assert orientation(file).numpy() == value
    assert difference(graph, file)[0] <= 1


def test_exif_that_is_damaged_turns_nothing():
    assert orientation(b"").numpy() == 0
    exif = Image.Exif()
    exif[0x0112] = 6
    file = encode(noise(8, 8), "JPEG", exif=exif)
    start = file.index(b"Exif\0\0") + 6
    far = struct.pack("<2sHI", b"II", 42, 2**31 - 1)
    assert orientation(file[:start] + far + file[start + 8 :]).numpy() == 0
    for end in range(start + 18):
        assert orientation(file[:end]).numpy() in (0, 6)


def test_what_is_no_image_does_not_disturb_the_others(graph):
    good, jpeg = encode(noise(SIDE, SIDE)), encode(picture(40, 50), "JPEG")
    bad = [
        b"",
        b"no image",
        good[:8],
        good[:20],
        good[:200],
        good[:-30],
        good[:100] + b"\xff" + good[101:],
        jpeg[:3],
        jpeg[: len(jpeg) // 2],
        b"\xff\xd8\xff" + b"\0" * 100,
        encode(noise(SIDE, SIDE), "BMP"),
        encode(GREY, "GIF"),
        encode(noise(SIDE, SIDE), "WEBP"),
        "a path.jpg".encode("utf-16"),
    ]
    images, valid = graph([good, *bad, jpeg])
    assert valid.tolist() == [True] + [False] * len(bad) + [True]
    np.testing.assert_array_equal(images[0], noise(SIDE, SIDE))
    np.testing.assert_array_equal(images[-1], graph([jpeg])[0][0])
    assert not images[1:-1].any()


@pytest.mark.parametrize("num_files", [0, 1, 7])
def test_any_number_of_files(graph, num_files):
    files = [encode(noise(SIDE, SIDE, seed=seed)) for seed in range(num_files)]
    images, valid = graph(files)
    assert images.shape == (num_files, SIDE, SIDE, 3) and valid.tolist() == [True] * num_files
    for seed, image in enumerate(images):
        np.testing.assert_array_equal(image, noise(SIDE, SIDE, seed=seed))
    images, valid = graph([b"no image"] * num_files)
    assert images.shape == (num_files, SIDE, SIDE, 3) and not valid.any()


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("method", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("size", [(50, 81), (90, 33), (20, 11), (32, 32)])
def test_each_way_of_resizing_as_offline(size, method, antialias):
    resizing = decoding.Resizing(method=method, antialias=antialias)
    file = encode(noise(*size))
    images, valid = decode_images(tf.constant([file]), SIDE, resizing=resizing)
    expected = decode(file, SIDE, resizing)
    assert valid.numpy().tolist() == [True]
    assert np.abs(images[0].numpy().astype(int) - expected).max() <= 1


def test_the_graph_resizes_as_the_model_was_trained(tmp_path):
    """Stretched without antialiasing, as `image_dataset_from_directory` does."""
    preprocessing = Preprocessing("none", resizing="stretch", antialias=False)
    network = build_extractor(small_network(), preprocessing=preprocessing)
    model = OODModel(network, Energy(), 0.0)
    assert model.preprocessing.resizing == "stretch"
    file = encode(noise(20, 31))
    pixels = decode(file, 8, decoding.Resizing(method="stretch", antialias=False))
    serve, _ = build_endpoints(model)["serving_bytes"]
    outputs = serve(tf.constant([file]))
    np.testing.assert_allclose(
        outputs["logits"], model(pixels[None])["logits"], rtol=1e-2, atol=0.1
    )
    cropped = model(decode(file, 8)[None])["logits"]
    assert np.abs(outputs["logits"] - cropped).max() > 0.5


def test_a_model_of_one_channel_takes_files():
    body = [keras.layers.Flatten(), keras.layers.Dense(3)]
    model = OODModel(keras.Sequential([keras.Input((8, 8, 1)), *body]), Energy(), 0.0)
    file = noise(8, 8)
    serve, _ = build_endpoints(model)["serving_bytes"]
    grey = decoding.to_channels(file[None], 1)
    expected = model(grey)["logits"]
    np.testing.assert_allclose(serve(tf.constant([encode(file)]))["logits"], expected, rtol=1e-5)
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(encoded.to_grey(images), decoding.to_channels(images, 1))
