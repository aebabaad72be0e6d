"""A format of one's own: registered from outside, then written, verified and replayed."""

import pathlib

import numpy as np
import pytest
from tiny_models import ood_model, random_images, small_network

from kerasood import export
from kerasood.detectors import Energy


class Copied(export.Format):
    """The model itself, kept in a dict, and a file that names it."""

    name = "copied"
    file = "model.copy"
    models = {}

    def convert(self, ood_model, path, metadata, quantization):
        path.write_text("model")
        self.models["model"] = ood_model

    def run(self, path, images, runtime=None):
        return self.models[pathlib.Path(path).read_text()].predict(images)


@pytest.fixture
def registered():
    export.register_format(Copied())
    yield
    del export.FORMATS["copied"]


def test_it_is_written_verified_and_replayed(registered, tmp_path):
    model = ood_model(small_network(), Energy())
    images = random_images(model.image_shape)
    result = export.export_model(model, tmp_path, images=images, formats=("copied",))
    assert result.reports["copied"].largest < 1e-4
    assert export.read_metadata(result.paths["copied"])["threshold"] == model.threshold
    assert export.verify_export(result.folder)["copied"].num_images == 12
    assert np.ptp(export.run_exported(result.paths["copied"], images)["score"]) > 0.1
    assert export.describe_signature(result.paths["copied"]) == ""


def test_names_and_suffixes_are_taken_once(registered):
    for kind in (Copied(), type("Other", (Copied,), {"name": "other"})()):
        with pytest.raises(ValueError, match="that no other format has"):
            export.register_format(kind)
    with pytest.raises(ValueError, match="Expected a Format. Received: 3"):
        export.register_format(3)
