"""`python -m export`: which threshold ships, and what is written about it."""

import json
import shutil

import numpy as np
import pytest
from tiny_data import contents, images_of

from kerasood.commands.export import export
from kerasood.config import ExportConfig
from kerasood.export import Exported
from kerasood.runs import Run
from kerasood.thresholds import PerClassThreshold, calibrate, calibrate_per_class, read_threshold

pytestmark = pytest.mark.usefixtures("empty_places")


@pytest.fixture
def run(base, tmp_path):
    """A copy of the base run: 48 test images of two classes, half of them to calibrate on."""
    shutil.copytree(base.path, tmp_path / "run")
    return Run.open(tmp_path / "run")


@pytest.fixture
def exported(run, tmp_path, monkeypatch):
    """Exports the run with some flags; returns the model and the metadata that would be written."""
    written = []

    def record(model, folder, *, metadata, **_):
        written.append((model, metadata))
        return Exported(tmp_path, {}, {})

    monkeypatch.setattr("kerasood.commands.export.export_model", record)

    def call(**flags):
        export(ExportConfig(run=str(run.path), tpr=0.8, **flags))
        return written[-1]

    return call


def stored(run):
    return json.loads(run.thresholds.read_text())["energy"]["threshold"]


def test_the_stored_threshold_is_used_until_another_promise_is_asked_for(run, exported, capsys):
    _, usual = exported()
    assert usual["calibration"]["guarantee"] == "average"
    assert "on average over calibrations (two-sided 95% interval" in capsys.readouterr().out
    entry = json.loads(run.thresholds.read_text())
    entry["energy"]["calibrated_on"] = "what was there"
    del entry["energy"]["threshold"]["guarantee"]
    run.thresholds.write_text(json.dumps(entry))
    _, again = exported()
    assert again["calibration"] == {**usual["calibration"], "calibrated_on": "what was there"}
    model, sure = exported(guarantee="confidence", confidence=0.9)
    assert sure["calibration"]["guarantee"] == "confidence"
    assert model.threshold == sure["calibration"]["value"] >= usual["calibration"]["value"]
    assert "with 90% confidence" in capsys.readouterr().out
    assert stored(run)["guarantee"] == "confidence"


def test_a_threshold_per_predicted_class(run, exported, capsys):
    exported()
    before = contents(run.path)
    model, metadata = exported(per_class=True)
    assert contents(run.path) == before, "the evaluation's thresholds stay as they are"
    content = metadata["calibration"]
    assert content.pop("calibrated_on") == "24 of the 48 test images, checked on the others"
    threshold = read_threshold(content)
    assert isinstance(threshold, PerClassThreshold)
    assert list(model.threshold) == threshold.value.tolist()
    assert sum(threshold.num_predicted) == threshold.pooled.num_images == 24
    assert "thresholds from" in capsys.readouterr().out
    outputs = model.predict(images_of(np.arange(30) % 2, seed=5))
    predicted = outputs["logits"].argmax(axis=-1)
    np.testing.assert_array_equal(
        outputs["is_ood"], ~threshold.accepts(outputs["score"], predicted)
    )


@pytest.mark.parametrize("per_class", [False, True])
def test_calibration_on_other_images(run, exported, tmp_path, per_class):
    exported()
    before = contents(run.path)
    images = images_of(np.arange(50) % 2, seed=7)
    np.savez(tmp_path / "camera.npz", images=images, labels=np.arange(50) % 2)
    model, metadata = exported(calibration=str(tmp_path / "camera.npz"), per_class=per_class)
    assert contents(run.path) == before
    content = metadata["calibration"]
    assert content.pop("calibrated_on") == "50 images of camera"
    outputs = model.predict(images)
    scores, predicted = outputs["score"], outputs["logits"].argmax(axis=-1)
    expected = (
        calibrate_per_class(scores, predicted, 2, tpr=0.8)
        if per_class
        else calibrate(scores, tpr=0.8)
    )
    np.testing.assert_allclose(model.threshold, expected.value, rtol=1e-4)
    assert read_threshold(content).accepts(scores, predicted).sum() == np.sum(~outputs["is_ood"])


def test_promises_that_cannot_be_kept(run, refused, tmp_path):
    config = ExportConfig(run=str(run.path), out=str(tmp_path / "out"), guarantee="confidence")
    line = refused(export, config)
    assert "needs at least 59 images. Received: scores_in with 24" in line
    line = refused(export, ExportConfig(run=str(run.path), calibration=str(tmp_path / "no.npz")))
    assert "no.npz" in line
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="Received: confidence=1.0"):
        ExportConfig(confidence=1.0)
