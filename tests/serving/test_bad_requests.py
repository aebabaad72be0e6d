"""Images that no exported file may answer, in every format: refused in words, and then served."""

import contextlib

import numpy as np
import pytest
from encoded_images import encode, huge_png, noise, picture
from old_runtimes import answers_no_images
from tiny_models import random_images

from kerasood import export
from kerasood.export.formats import saved_model

GOOD = random_images((8, 8, 3), num_images=3)
# What is wrong, and what the error says of it.
BAD = {
    "rank 3": (GOOD[0], r"shape=\(8, 8, 3\)"),
    "rank 5": (GOOD[None], r"shape=\(1, 3, 8, 8, 3\)"),
    "no list": (np.uint8(7), r"shape=\(\)"),
    "height": (GOOD[:, :7], r"shape=\(3, 7, 8, 3\)"),
    "larger": (np.zeros((2, 16, 16, 3), np.uint8), r"shape=\(2, 16, 16, 3\)"),
    "grey": (GOOD[..., :1], r"shape=\(3, 8, 8, 1\)"),
    "RGBA": (np.zeros((2, 8, 8, 4), np.uint8), r"shape=\(2, 8, 8, 4\)"),
    "six channels": (np.zeros((2, 8, 8, 6), np.uint8), r"shape=\(2, 8, 8, 6\)"),
    "channels first": (GOOD.transpose(0, 3, 1, 2), r"shape=\(3, 3, 8, 8\)"),
    "no height": (GOOD[:, :0], r"shape=\(3, 0, 8, 3\)"),
    "floats in 0..1": (GOOD / np.float32(255), "dtype=float32 with values from 0 to"),
    "NaN": (np.full(GOOD.shape, np.nan, np.float32), "dtype=float32 with values from nan"),
    "infinite": (np.full(GOOD.shape, np.inf), "dtype=float64 with values from inf"),
    "int64": (GOOD.astype(np.int64), "dtype=int64"),
    "int8": (GOOD.astype(np.int8), "dtype=int8"),
    "no images of floats": (np.zeros((0, 8, 8, 3), np.float32), "dtype=float32"),
    "text": (np.full((1, 8, 8, 3), "7"), "dtype=<U1"),
    "files": (
        np.array(
            [b"", b"no image", encode(picture(20, 20), "JPEG")[:300], huge_png(8000, 7000)],
            dtype=object,
        ),
        "dtype=object",
    ),
    "an encoded image": (np.frombuffer(encode(noise(8, 8)), np.uint8), r"shape=\(\d+,\)"),
}


@pytest.fixture(scope="module", params=export.FORMATS)
def run(request, served_export):
    """Answers images with the file of one format; the SavedModel stays loaded in between."""
    kind = export.FORMATS[request.param]
    if kind.missing:
        pytest.skip(f"needs the extra {request.param}: no {', '.join(kind.missing)}")
    path = served_export.paths[request.param]
    with export.load_served(served_export.folder) as served, pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "load_served", lambda _: contextlib.nullcontext(served))
        yield lambda images: kind.run(path, images)


def test_each_is_refused_in_words_and_the_next_is_served(run):
    expected = run(GOOD)
    for name, (images, message) in BAD.items():
        with pytest.raises(ValueError, match=rf"Expected images of .*Received: .*{message}"):
            pytest.fail(f"{name} was answered by {run(images)}")
    again = run(GOOD)
    assert np.ptp(again["score"]) > 0.1
    for name, output in again.items():
        np.testing.assert_array_equal(output, expected[name])


def test_no_images_get_no_answers(run, request):
    if not answers_no_images(request.node.callspec.params["run"]):
        pytest.skip("this ONNX Runtime refuses to be asked about no images")
    expected = run(GOOD)
    outputs = run(GOOD[:0])
    assert outputs.keys() == expected.keys()
    for name, output in outputs.items():
        assert output.dtype == expected[name].dtype
        assert output.shape == (0, *expected[name].shape[1:])


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_images_get_finite_answers(run, value):
    outputs = run(np.full((2, 8, 8, 3), value, np.uint8))
    for name, output in outputs.items():
        assert np.all(np.isfinite(output)), name
