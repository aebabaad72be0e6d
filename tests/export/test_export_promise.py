"""The finished file accepts as many calibration images as its threshold promises, or is refused."""

import keras
import numpy as np
import pytest
from tiny_models import small_network

from kerasood import export, thresholds
from kerasood.data.source import ArraySource
from kerasood.detectors import Energy
from kerasood.serving import OODModel
from kerasood.thresholds import Promise, calibrate_outputs

FORMATS = ("saved_model", "tflite")


def images_of(num_images, contrast=1.0):
    generator = np.random.default_rng(num_images)
    return (contrast * generator.integers(0, 256, (num_images, 8, 8, 3))).astype("uint8")


@pytest.fixture(scope="module")
def calibrated():
    """A model, its threshold, and the images that it was calibrated on."""
    network, images = small_network(), images_of(200)
    threshold = thresholds.calibrate(OODModel(network, Energy(), 0.0).predict(images)["score"], 0.8)
    return OODModel(network, Energy(), threshold), threshold, images


def exported(calibrated, folder, calibration_images, formats=("saved_model",), **options):
    model, threshold, images = calibrated
    metadata = {"calibration": threshold.to_json()}
    return export.export_model(
        model, folder, images=images[:12], metadata=metadata, formats=formats,
        calibration_images=calibration_images, **options,
    )  # fmt: skip


def test_the_images_it_was_calibrated_on(calibrated, tmp_path):
    _, threshold, images = calibrated
    result = exported(calibrated, tmp_path, ArraySource("theirs", images), FORMATS)
    for path in result.paths.values():
        assert export.verify_promise(path, images) == threshold.rank / 200
        # Others of their kind: between the bounds, and not the same share.
        assert 0.6 < export.verify_promise(path, images_of(300)) < 0.95


def test_images_whose_pixels_are_others(calibrated, tmp_path):
    """As where the model was calibrated on images that had been normalised outside of it."""
    dark = images_of(200, contrast=1 / 255)
    with pytest.raises(export.ExportMismatch, match="200 calibration images.*80.0%. Received: "):
        exported(calibrated, tmp_path, dark)
    assert not list(tmp_path.iterdir())


def test_a_threshold_that_flags_too_few_is_refused_too(calibrated, tmp_path):
    model, threshold, images = calibrated
    loose = OODModel(model.network, Energy(), threshold.value + 100)
    with pytest.raises(export.ExportMismatch, match="Received: 100.0%"):
        exported((loose, threshold, images), tmp_path, images)


def test_per_class_and_a_quantised_file(calibrated, tmp_path):
    model, _, images = calibrated
    outputs = model.predict(images)
    per_class = calibrate_outputs(
        outputs["score"], outputs["logits"], Promise(0.9, per_class=True)
    )
    model = OODModel(model.network, Energy(), per_class)
    result = exported(
        (model, per_class, images), tmp_path, images, FORMATS,
        quantization=export.Quantization("dynamic"),
    )
    assert result.paths.keys() == set(FORMATS)
    assert isinstance(model.network, keras.Model)


def test_scores_unlike_those_of_the_calibration_are_told(calibrated, tmp_path):
    """As where scores come from a network that was given rescaled pixels by hand."""
    model, threshold, images = calibrated
    assert "calibration" not in exported(calibrated, tmp_path / "right", None).notes
    outside = thresholds.calibrate(model.predict(images)["score"] / 255 - 2, 0.8)
    result = exported((model, outside, images), tmp_path / "wrong", None)
    assert "none of 12 images has a score like those of the calib" in result.notes["calibration"]
