"""Photographs of any size become what the model takes."""

import json
import pathlib

import numpy as np
from encoded_images import encode, noise
from PIL import Image
from tiny_models import small_network

from kerasood.data.decoding import Resizing, decode, to_channels
from kerasood.detectors import Energy
from kerasood.extractor import Preprocessing, build_extractor
from kerasood.scoring import rows, work
from kerasood.scoring.models import open_scorer
from kerasood.serving import OODModel
from kerasood.thresholds import calibrate


def test_large_photos_become_what_the_model_takes(served_export, tmp_path):
    Image.fromarray(noise(40, 30)).save(tmp_path / "photo.jpg")
    image = rows.prepared(str(tmp_path / "photo.jpg"), (8, 8, 3))
    assert image.shape == (8, 8, 3)
    assert "square images" in rows.prepared(str(tmp_path / "photo.jpg"), (8, 9, 3))
    assert "expected an image of shape" in rows.prepared(noise(9, 9), (8, 8, 3))
    assert json.loads(json.dumps(work.model_identity(served_export.folder)))[1] > 0
    assert pathlib.Path(work.model_identity(served_export.folder)[0]).name == "saved_model.pb"


def test_files_become_what_the_model_takes():
    wide = encode(noise(12, 18))
    for method, antialias in (("stretch", False), ("pad", True)):
        resizing = Resizing(method=method, antialias=antialias)
        image = rows.prepared(wide, (8, 8, 3), resizing)
        np.testing.assert_array_equal(image, decode(wide, 8, resizing))
        assert np.any(image != rows.prepared(wide, (8, 8, 3)))
    grey = rows.prepared(encode(noise(8, 8)), (8, 8, 1))
    np.testing.assert_array_equal(grey, to_channels(noise(8, 8)[None], 1)[0])


def test_an_ood_model_s_file_says_how_photographs_are_resized(tmp_path):
    way = Preprocessing("none", "stretch", antialias=False)
    extractor = build_extractor(small_network(), preprocessing=way)
    threshold = calibrate(np.arange(40.0))
    OODModel(extractor, Energy(), threshold).save(tmp_path / "model.keras")
    with open_scorer(tmp_path / "model.keras") as scorer:
        assert scorer.resizing == Resizing(method="stretch", antialias=False)
        assert scorer.threshold == threshold
