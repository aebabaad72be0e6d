"""`python -m export`: which threshold ships, and what is written about it."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from tiny_data import contents, images_of

from kerasood.commands.export import export
from kerasood.detectors import DETECTORS, Energy
from kerasood.evaluation.calibration import store_thresholds
from kerasood.export import ExportConfig, Exported, read_calibration
from kerasood.export.metadata import write_metadata
from kerasood.runs import Run
from kerasood.thresholds import PerClassThreshold, Threshold, calibrate, read_threshold

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

    monkeypatch.setattr("kerasood.export.runs.export_model", record)

    def call(**flags):
        export(ExportConfig(**{"run": str(run.path), "tpr": 0.8, "detector": "energy", **flags}))
        return written[-1]

    return call


def stored(run):
    return json.loads(run.thresholds.read_text())["energy"]["threshold"]


def usual_threshold(metadata):
    fields = {field.name for field in dataclasses.fields(Threshold)}
    return {name: value for name, value in metadata["calibration"].items() if name in fields}


def test_the_stored_threshold_is_used_until_another_promise_is_asked_for(run, exported, caplog):
    caplog.set_level("INFO", "kerasood")
    _, usual = exported()
    assert usual["calibration"]["guarantee"] == "average"
    assert usual["calibration"]["tpr"] == 0.8 and len(usual["class_names"]) == 2
    trained = json.loads((run.path / "config.json").read_text())
    assert usual["training_commit"] == trained["commit"]
    assert "on average over calibrations (two-sided 95% interval" in caplog.text
    entry = json.loads(run.thresholds.read_text())
    entry["energy"]["threshold"]["value"] = 1e9
    run.thresholds.write_text(json.dumps(entry))
    with pytest.raises(ValueError, match="the threshold of energy as an evaluation left it"):
        exported()
    run.thresholds.unlink()
    store_thresholds(run, {"energy": (Energy(), usual_threshold(usual), "what was there")})
    _, again = exported()
    assert again["calibration"] == {**usual["calibration"], "calibrated_on": "what was there"}
    model, sure = exported(guarantee="confidence", confidence=0.9)
    assert sure["calibration"]["guarantee"] == "confidence"
    assert model.threshold == sure["calibration"]["value"] >= usual["calibration"]["value"]
    assert "with 90% confidence" in caplog.text
    assert stored(run)["guarantee"] == "confidence"


def test_a_threshold_per_predicted_class(run, exported, tmp_path, caplog):
    caplog.set_level("INFO", "kerasood")
    exported()
    before = contents(run.path)
    model, metadata = exported(per_class=True)
    assert contents(run.path) == before, "the evaluation's thresholds stay as they are"
    write_metadata(tmp_path / "model.tflite", metadata)
    threshold = read_calibration(tmp_path / "model.tflite")
    content = metadata["calibration"]
    assert content["calibrated_on"] == "24 of the 48 test images, checked on the others"
    assert isinstance(threshold, PerClassThreshold)
    assert list(model.threshold) == threshold.value.tolist()
    assert sum(threshold.num_predicted) == threshold.pooled.num_images == 24
    assert "thresholds from" in caplog.text
    outputs = model.predict(images_of(np.arange(30) % 2, seed=5))
    predicted = outputs["logits"].argmax(axis=-1)
    np.testing.assert_array_equal(
        outputs["is_ood"], ~threshold.accepts(outputs["score"], predicted)
    )


def test_calibration_on_other_images(run, exported, tmp_path):
    exported()
    before = contents(run.path)
    images = images_of(np.arange(50) % 2, seed=7)
    np.savez(tmp_path / "camera.npz", images=images, labels=np.arange(50) % 2)
    model, metadata = exported(calibration=str(tmp_path / "camera.npz"))
    assert contents(run.path) == before
    content = metadata["calibration"]
    assert content.pop("calibrated_on") == "50 images of camera"
    write_metadata(tmp_path / "model.tflite", {"calibration": content})
    assert read_calibration(tmp_path / "model.tflite") == read_threshold(content)
    write_metadata(tmp_path / "model.tflite", {})
    with pytest.raises(ValueError, match="a 'calibration' in the metadata of .*Received: none"):
        read_calibration(tmp_path / "model.tflite")
    outputs = model.predict(images)
    expected = calibrate(outputs["score"], tpr=0.8)
    assert model.threshold == pytest.approx(expected.value, rel=1e-4)
    # k = ceil(51 * 0.8) = 41 of 50 images.
    assert (read_threshold(content).rank, outputs["is_ood"].sum()) == (41, 9)


def test_all_means_what_can_be_written(run, tmp_path, monkeypatch):
    asked = []

    def record(model, folder, *, formats, **_):
        asked.append(formats)
        return Exported(tmp_path, {}, {})

    monkeypatch.setattr("kerasood.export.runs.export_model", record)
    for name in ("all", "tflite"):
        export(ExportConfig(run=str(run.path), detector="energy", tpr=0.8, format=name))
    assert asked == [None, ("tflite",)]


def test_promises_that_cannot_be_kept(run, refused, tmp_path):
    config = ExportConfig(
        run=str(run.path), out=str(tmp_path / "out"), detector="energy", guarantee="confidence"
    )
    line = refused(export, config)
    assert "needs at least 59 images. Received: scores_in with 24" in line
    line = refused(export, dataclasses.replace(config, calibration=str(tmp_path / "no.npz")))
    assert "no.npz" in line
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="Received: confidence=1.0"):
        ExportConfig(confidence=1.0)


def test_the_detector_is_chosen_where_none_is_named_and_once(run, exported, monkeypatch):
    assert ExportConfig().detector == "auto"
    model, metadata = exported(detector="auto")
    chosen = json.loads((run.detectors / "auto.json").read_text())
    assert type(model.detector) is DETECTORS[chosen["detector"]]
    # The images that chose do not calibrate.
    assert metadata["calibration"]["calibrated_on"].startswith("21 of the 42 test images")
    monkeypatch.setattr("kerasood.evaluation.calibration.choose_detector", None)
    again, usual = exported(detector="auto")
    assert again.threshold == model.threshold and usual == metadata
    (run.detectors / f"{chosen['detector']}.npz").unlink()
    with pytest.raises(TypeError, match="NoneType"):
        exported(detector="auto")
