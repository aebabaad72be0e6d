"""A step on the image does not silently cost the TFLite file: it is named, and can be left out."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
from tiny_data import contents, images_of
from tiny_models import random_images, small_network

from kerasood import export
from kerasood.detectors import ODIN, Detector, Energy, Mahalanobis, ReAct
from kerasood.detectors.saving import save_detector
from kerasood.detectors.stepped import without_step
from kerasood.evaluation.calibration import calibrate_run
from kerasood.export import ExportConfig, export_run
from kerasood.runs import Run
from kerasood.serving import OODModel, recalibrate
from kerasood.thresholds import Promise, calibrate

pytestmark = pytest.mark.usefixtures("empty_places")


@pytest.fixture
def run(base, tmp_path):
    """A run whose stored detector was fitted with a step."""
    run = Run.open(shutil.copytree(base.path, tmp_path / "run"))
    save_detector(run.detectors / "odin.npz", ODIN(temperature=10.0, magnitude=0.002))
    return run


def test_the_same_detector_without_its_step():
    stepped = ReAct(detector=ODIN(temperature=7.0, magnitude=0.002))
    flat = without_step(stepped)
    assert (stepped.input_step, flat.input_step, flat.detector.temperature) == (0.002, 0, 7.0)
    assert without_step(Energy()).input_step == 0

    class Other(Detector):
        input_step = 0.1

        def _score(self, outputs):
            return outputs["logits"][:, 0]

    with pytest.raises(ValueError, match="parameter magnitude. Received: Other"):
        without_step(Other())


@pytest.mark.parametrize("magnitude", [-0.1, "0.1"])
@pytest.mark.parametrize("kind", [ODIN, Mahalanobis])
def test_steps_that_cannot_be(kind, magnitude):
    with pytest.raises(ValueError, match="Expected magnitude >= 0. Received: magnitude="):
        kind(magnitude=magnitude).input_step  # noqa: B018


def test_its_threshold_is_calibrated_for_scores_without_it(run):
    promise = Promise(0.8)
    stepped = calibrate_run(run, "odin", promise)
    before = contents(run.path)
    flat = calibrate_run(run, "odin", promise, step=False)
    assert contents(run.path) == before, "the evaluation's detector and threshold stay"
    assert (stepped.detector.input_step, flat.detector.input_step) == (0.002, 0)
    assert flat.threshold.value != stepped.threshold.value
    images, _ = flat.subject.images.calibrating.load()
    scores = OODModel(flat.subject.extractor, flat.detector, 0.0).predict(images)["score"]
    assert flat.threshold.value == pytest.approx(calibrate(scores, 0.8).value, rel=1e-5)


def test_an_export_says_it_and_no_step_brings_the_file(run, tmp_path):
    config = dict(run=str(run.path), detector="odin", tpr=0.8, format="tflite", download=False)
    with pytest.raises(export.Inexpressible, match="export with --no-step"):
        export_run(ExportConfig(**config, out=str(tmp_path / "no")))
    exported = export_run(ExportConfig(**config, step=False, out=str(tmp_path / "out")))
    metadata = json.loads((exported.folder / "model.tflite.json").read_text())
    assert metadata["detector_params"] == {"temperature": 10.0, "magnitude": 0.0}
    outputs = export.run_exported(exported.paths["tflite"], images_of([0, 1, 2] * 4, seed=3))
    assert np.ptp(outputs["score"]) > 0


def test_an_own_model_is_recalibrated_without_it():
    images = random_images((8, 8, 3), 40)
    model = OODModel(small_network(), ODIN(10.0, 0.01), 0.0, class_names=list("abcd"))
    flat, threshold = recalibrate(model, images, tpr=0.8, step=False)
    export.FORMATS["tflite"].refuse(flat)
    assert flat.detector.input_step == 0 and flat.class_names == ("a", "b", "c", "d")
    expected = OODModel(model.network, ODIN(10.0, 0.0), 0.0).predict(images)["score"]
    assert threshold == calibrate(expected, 0.8)


def test_a_run_that_cannot_be_written_is_noticed_first(run, monkeypatch):
    monkeypatch.setattr(
        "kerasood.evaluation.calibration.subject_of_run", lambda *_, **__: pytest.fail("work")
    )

    def refuse(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("kerasood.files.tempfile.TemporaryFile", refuse)  # root writes anywhere
    with pytest.raises(OSError, match="Cannot write to .*/run: Read-only file system"):
        calibrate_run(run, "energy")
