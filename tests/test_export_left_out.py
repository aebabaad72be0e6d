"""`--format=all`: what one format cannot express does not keep the others from being written."""

import dataclasses

import numpy as np
import pytest
from tiny_models import ood_model, random_images, small_network

from kerasood import export
from kerasood.detectors import ODIN, Energy
from kerasood.export import ExportMismatch, Inexpressible

pytestmark = pytest.mark.usefixtures("two_formats")
ERROR = Inexpressible("Expected a model that\n  it can express. Received: op Strange")
REASON = "Expected a model that it can express. Received: op Strange"


@pytest.fixture
def two_formats(monkeypatch):
    """SavedModel and TFLite, whatever is installed."""
    monkeypatch.setattr(export, "available_formats", lambda: ("saved_model", "tflite"))


@pytest.fixture(scope="module")
def model():
    return ood_model(small_network(), Energy())


@pytest.fixture(scope="module")
def images(model):
    return random_images(model.image_shape)


def broken(monkeypatch, name, error):
    """Makes a format leave half of a file and fail."""

    def write(model, path, metadata, quantization=None):
        path.parent.mkdir(exist_ok=True)
        (path.parent / "model.tflite").write_bytes(b"half of it")
        (path.parent / "model.tflite.json").write_text("{}")
        raise error

    kind = dataclasses.replace(export.FORMATS[name], export=write)
    monkeypatch.setitem(export.FORMATS, name, kind)


def wrong(monkeypatch):
    """Makes the answers of the .tflite file differ."""
    verify = export.verify

    def differ(path, *arguments):
        if path.suffix == ".tflite":
            raise ExportMismatch(str(ERROR))
        return verify(path, *arguments)

    monkeypatch.setattr(export, "verify", differ)


@pytest.mark.parametrize("fails", ["to be written", "to answer alike"])
def test_the_others_are_written_and_say_what_is_missing(
    model, images, tmp_path, monkeypatch, fails
):
    if fails == "to be written":
        broken(monkeypatch, "tflite", ERROR)
    else:
        wrong(monkeypatch)
    result = export.export_model(model, tmp_path, images=images, metadata={"commit": "0123abc"})
    assert result.left_out == {"tflite": REASON}
    assert result.paths.keys() == result.reports.keys() == {"saved_model"}
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "assets", "assets.extra", "fingerprint.pb", "golden.npz", "saved_model.pb", "variables"
    ]  # fmt: skip
    metadata = export.read_metadata(result.folder)
    assert (metadata["left_out"], metadata["commit"]) == ({"tflite": REASON}, "0123abc")
    assert metadata["threshold"] == model.threshold
    assert list(export.replay(result.folder)) == ["saved_model"]
    outputs = export.run_saved_model(result.folder, images)
    np.testing.assert_array_equal(outputs["is_ood"], export.eager_outputs(model, images)["is_ood"])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tflite", {"formats": ("tflite",)}),
        ("tflite", {"quantization": export.Quantization("float16")}),
        ("saved_model", {}),
    ],
    ids=["named", "quantised", "the SavedModel"],
)
def test_what_was_asked_for_is_an_error(model, images, tmp_path, monkeypatch, name, options):
    broken(monkeypatch, name, ERROR)
    monkeypatch.setattr(export, "verify", lambda *_: None)
    with pytest.raises(Inexpressible, match="op Strange"):
        export.export_model(model, tmp_path / "out", images=images, **options)
    assert not list(tmp_path.iterdir())


def test_other_errors_are_not_taken_for_a_lack(model, images, tmp_path, monkeypatch):
    broken(monkeypatch, "tflite", RuntimeError("a fault of the converter"))
    monkeypatch.setattr(export, "verify", lambda *_: None)
    with pytest.raises(RuntimeError, match="a fault"):
        export.export_model(model, tmp_path / "out", images=images)
    assert not list(tmp_path.iterdir())


def test_a_detector_with_a_gradient_goes_where_there_are_gradients(images, tmp_path):
    model = ood_model(small_network(), ODIN())
    result = export.export_model(model, tmp_path, images=images)
    assert result.paths.keys() == {"saved_model"}
    reason = "without a step on the image for TFLite, which has no gradients"
    assert reason in result.left_out["tflite"]
    assert export.read_metadata(result.folder)["left_out"] == result.left_out
    for call in (
        lambda: export.export_model(model, tmp_path / "no", images=images, formats=("tflite",)),
        lambda: export.export_tflite(model, tmp_path / "model.tflite", {}),
    ):
        with pytest.raises(Inexpressible, match=f"{reason}.* Received: ODIN with a step of "):
            call()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_nothing_is_said_where_nothing_is_missing(model, images, tmp_path):
    result = export.export_model(model, tmp_path, images=images)
    assert result.left_out == {} and result.paths.keys() == {"saved_model", "tflite"}
    for path in result.paths.values():
        assert "left_out" not in export.read_metadata(path)
