"""`--format=all`: what one format cannot express does not keep the others from being written."""

import re

import pytest
from tiny_models import ood_model, random_images, small_network

from kerasood import export
from kerasood.detectors import ODIN, Energy
from kerasood.export import Inexpressible, exporting

ERROR = Inexpressible("Expected a model that\n  it can express. Received: op Strange")
REASON = "Expected a model that it can express. Received: op Strange"


@pytest.fixture
def at_hand(monkeypatch):
    """Says which formats are installed."""
    return lambda *names: monkeypatch.setattr(exporting, "available_formats", lambda: names)


@pytest.fixture(scope="module")
def model():
    return ood_model(small_network(), Energy())


@pytest.fixture(scope="module")
def images(model):
    return random_images(model.image_shape)


def broken(monkeypatch, name, error=None):
    """Makes a format write half a file, with its metadata, and fail."""

    def write(self, model, path, metadata, quantization=None):
        path.parent.mkdir(exist_ok=True)
        (path.parent / "model.onnx").write_bytes(b"half of it")
        (path.parent / "model.onnx.json").write_text("{}")
        if error is not None:
            raise error
        return path

    kind = type(export.FORMATS[name])
    broken_kind = type(f"Broken{kind.__name__}", (kind,), {"write": write, "packages": ()})
    monkeypatch.setitem(export.FORMATS, name, broken_kind())


@pytest.mark.parametrize("error", [ERROR, None], ids=["not written", "written, no answers"])
def test_the_others_are_written_and_say_what_is_missing(
    model, images, tmp_path, monkeypatch, at_hand, caplog, error
):
    at_hand("tflite", "onnx")
    broken(monkeypatch, "onnx", error)
    result = export.export_model(model, tmp_path, images=images, metadata={"commit": "0123abc"})
    assert result.left_out.keys() == {"onnx"}
    logged = [record.getMessage() for record in caplog.records if record.name == "kerasood"]
    assert logged == [f"onnx is left out: {result.left_out['onnx']}"]
    reason = result.left_out["onnx"]
    assert reason == REASON if error else re.match("Expected answers from .*model.onnx", reason)
    assert result.paths.keys() == result.reports.keys() == {"tflite"}
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "golden.npz", "labels.txt", "model.tflite", "model.tflite.json"
    ]  # fmt: skip
    metadata = export.read_metadata(result.paths["tflite"])
    assert (metadata["left_out"], metadata["commit"]) == (result.left_out, "0123abc")
    assert metadata["threshold"] == model.threshold
    (replayed,) = export.replay(result.folder).values()
    assert replayed.largest < 1e-4


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("onnx", {"formats": ("onnx",)}),
        ("tflite", {"quantization": export.Quantization("float16")}),
        ("saved_model", {}),
    ],
    ids=["named", "quantised", "the SavedModel"],
)
def test_what_was_asked_for_is_an_error(
    model, images, tmp_path, monkeypatch, at_hand, name, options
):
    at_hand(name)
    broken(monkeypatch, name, ERROR)
    with pytest.raises(Inexpressible, match="op Strange"):
        export.export_model(model, tmp_path / "out", images=images, **options)
    assert not list(tmp_path.iterdir())


def test_other_errors_are_not_taken_for_a_lack(model, images, tmp_path, monkeypatch, at_hand):
    at_hand("onnx")
    broken(monkeypatch, "onnx", RuntimeError("a fault of the converter"))
    with pytest.raises(RuntimeError, match="a fault"):
        export.export_model(model, tmp_path / "out", images=images)
    assert not list(tmp_path.iterdir())


def test_a_detector_with_a_gradient_goes_where_there_are_gradients(images, tmp_path, at_hand):
    at_hand("saved_model", "tflite")
    model = ood_model(small_network(), ODIN())
    result = export.export_model(model, tmp_path, images=images)
    assert result.paths.keys() == {"saved_model"}
    reason = "without a step on the image for TFLite, which has no gradients"
    assert reason in result.left_out["tflite"]
    assert export.read_metadata(result.folder)["left_out"] == result.left_out
    for call in (
        lambda: export.export_model(model, tmp_path / "no", images=images, formats=("tflite",)),
        lambda: export.FORMATS["tflite"].write(model, tmp_path / "model.tflite", {}),
    ):
        with pytest.raises(Inexpressible, match=f"{reason}.* Received: ODIN with a step of "):
            call()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_nothing_is_said_where_nothing_is_missing(model, images, tmp_path, at_hand):
    at_hand("tflite")
    result = export.export_model(model, tmp_path, images=images)
    assert result.left_out == {} and result.paths.keys() == {"tflite"}
    assert "left_out" not in export.read_metadata(result.paths["tflite"])
