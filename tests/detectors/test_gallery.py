"""The picture of all detectors, at a resolution at which it takes a second."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from kerasood.detectors import DETECTORS
from scripts import gallery

pytestmark = pytest.mark.slow


def test_the_script_draws_a_png_with_every_detector_that_it_can(tmp_path, monkeypatch):
    drawn = []
    panel = gallery._panel
    monkeypatch.setattr(gallery, "_panel", lambda *inputs: drawn.append(inputs) or panel(*inputs))
    gallery.main([str(tmp_path / "gallery.png"), "--resolution=6", "--steps=20"])
    with Image.open(tmp_path / "gallery.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 1000
    # These need networks that were made for them.
    assert len(drawn) == len(DETECTORS.keys() - {"g_odin", "mcd", "reject"})
    for axes, axis, scores, threshold in drawn:
        assert scores.shape == (6, 6)
        assert np.isfinite([*scores.ravel(), threshold]).all()
        assert axes.collections
        np.testing.assert_allclose(axis, [0, 51, 102, 153, 204, 255])


def test_shades_follow_the_order_of_scores_on_each_side_of_the_threshold():
    scores = np.array([[5.0, -3.0], [2.0, 7.0]])
    # In order: -3, 2 | 5, 7. Half of the scale lies on either side.
    np.testing.assert_allclose(gallery.shares(scores, 3.0), [[0.5, 0.0], [0.25, 0.75]])
    # One of four below: the others share the upper half.
    np.testing.assert_allclose(
        gallery.shares(scores, 0.0), [[1 - 0.5 * 2 / 3, 0.0], [0.5, 1 - 0.5 / 3]]
    )


def test_shades_where_nothing_or_everything_is_flagged():
    scores = np.array([1.0, 2.0, 3.0])
    assert (gallery.shares(scores, 9.0) <= 0.5).all()
    assert (gallery.shares(scores, 0.0) >= 0.5).all()


def test_the_picture_in_the_documentation_is_of_moderate_size():
    picture = pathlib.Path(__file__).parents[2] / "docs" / "detectors" / "gallery.png"
    assert 20_000 < picture.stat().st_size < 400_000
