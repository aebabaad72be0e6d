import importlib
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_models import ood_model, random_images, small_network

from kerasood import export
from kerasood.detectors import Energy
from kerasood.export import exporting, versions
from kerasood.export.formats import saved_model
from kerasood.quiet import quiet
from kerasood.serving import OODModel

TFLITE = export.FORMATS["tflite"]

@pytest.fixture(scope="module")
def model():
    return ood_model(small_network(), Energy())


@pytest.fixture(scope="module")
def images(model):
    return random_images(model.image_shape)


@pytest.fixture(scope="module")
def written(model, images, tmp_path_factory):
    """Paths of a SavedModel and a .tflite file that tests may only read, and what Keras answers."""
    folder = tmp_path_factory.mktemp("written")
    paths = {
        "saved_model": export.FORMATS["saved_model"].write(model, folder / "saved_model", {}),
        "tflite": TFLITE.write(model, folder / "model.tflite", {}),
    }
    return paths, export.eager_outputs(model, images)


def changed(expected, **changes):
    return {**{name: output.copy() for name, output in expected.items()}, **changes}


@pytest.mark.parametrize("format_name", ["saved_model", "tflite"])
def test_verify_names_output_image_and_numbers(written, images, format_name):
    paths, expected = written
    wrong = changed(expected)
    wrong["energy"][5] = 123.0
    with pytest.raises(export.ExportMismatch, match=r"energy=123 .* image 5 .*Received: energy="):
        export.verify(paths[format_name], images, wrong)
    assert export.verify(paths[format_name], images, expected).num_images == 12


def test_verify_allows_a_ten_thousandth_and_no_more(written, images):
    path, expected = written[0]["tflite"], written[1]
    scale = np.maximum(np.abs(expected["logits"]), 1)
    near = export.verify(path, images, changed(expected, logits=expected["logits"] + 8e-5 * scale))
    assert 7e-5 < near.differences["logits"].relative < 9e-5
    far = changed(expected, logits=expected["logits"] + 1.2e-4 * scale)
    with pytest.raises(export.ExportMismatch, match="48 of 48 values differ"):
        export.verify(path, images, far)


def test_verify_counts_images_near_the_threshold(model, images, tmp_path):
    scores = np.asarray(model(images)["score"])
    at_a_score = OODModel(model.network, Energy(), scores[4])
    path = TFLITE.write(at_a_score, tmp_path / "model.tflite", {})
    expected = export.eager_outputs(at_a_score, images)
    assert export.verify(path, images, expected).num_near_threshold == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: changed(e, score=e["score"] * np.float32(np.nan)), "score=nan"),
        (lambda e: changed(e, is_ood=~e["is_ood"]), "is_ood=.* for image 0 from Keras"),
        (lambda e: changed(e, logits=e["logits"][:, :3]), r"'logits' as float32\(12, 3\)"),
        (lambda e: changed(e, energy=e["energy"].astype("float64")), "'energy' as float64"),
        (lambda e: changed(e, label=e["energy"]), "outputs .*'label'.* Received: .*'energy'"),
    ],
)
def test_verify_refuses(written, images, change, message):
    paths, expected = written
    with pytest.raises(export.ExportMismatch, match=message):
        export.verify(paths["tflite"], images, change(expected))


def test_verify_catches_nan_and_wrong_decisions_of_the_file(written, images, monkeypatch):
    path, expected = written[0]["tflite"], written[1]
    nan = changed(expected)
    nan["logits"][3, 1] = np.nan
    verify = importlib.import_module("kerasood.export.checks.verify")
    monkeypatch.setattr(verify, "_answers", lambda *_: [("model.tflite", nan)])
    with pytest.raises(export.ExportMismatch, match=r"image 3 .*Received: logits=nan"):
        export.verify(path, images, expected)
    flipped = changed(expected)
    flipped["is_ood"][2] ^= True
    monkeypatch.setattr(verify, "_answers", lambda *_: [("model.tflite", flipped)])
    with pytest.raises(export.ExportMismatch, match="is_ood=.* for image 2 from .*model.tflite"):
        export.verify(path, images, expected)


@pytest.mark.parametrize("image", [0, 7])
def test_verify_looks_at_the_decisions_of_the_reference(written, images, image):
    """What was stored may be damaged: each decision must follow from its score."""
    path, expected = written[0]["tflite"], written[1]
    wrong = changed(expected)
    wrong["is_ood"][image] ^= True
    with pytest.raises(export.ExportMismatch, match=f"is_ood=.* for image {image} from Keras"):
        export.verify(path, images, wrong)


def test_verify_asks_about_one_image_and_about_several_at_once(written, images, monkeypatch):
    """A file that mixes the images of a batch answers right about each alone."""
    path, expected = written[0]["tflite"], written[1]
    run, asked = TFLITE.run, []

    def mixing(path, images, runtime=None):
        asked.append(len(images))
        outputs = run(path, images, runtime)
        return {name: output[::-1] for name, output in outputs.items()}

    monkeypatch.setattr(TFLITE, "run", mixing)
    with pytest.raises(export.ExportMismatch, match="Expected energy=.* for image 1 "):
        export.verify(path, images, expected)
    assert asked[:2] == [1, 11]


def test_verify_needs_images_and_a_file(written, images, tmp_path):
    paths, expected = written
    with pytest.raises(ValueError, match="at least one image"):
        export.verify(paths["tflite"], images[:0], expected)
    with pytest.raises(ValueError, match="SavedModel folder or a file ending .*Received: .*tmp"):
        export.verify(tmp_path, images, expected)


def export_small(model, verify_images, folder, **changes):
    arguments = {"images": verify_images, "metadata": {}, "model_name": "tiny", **changes}
    return export.export_model(model, folder, **arguments)


def test_versions_count_up_and_are_never_overwritten(model, images, tmp_path):
    first = export_small(model, images, tmp_path, formats=["tflite"])
    assert first.folder == tmp_path / "tiny-lite" / "1"
    assert sorted(path.name for path in first.folder.iterdir()) == [
        "golden.npz", "labels.txt", "model.tflite", "model.tflite.json"
    ]  # fmt: skip
    before = first.paths["tflite"].read_bytes()
    with pytest.raises(FileExistsError, match=r"Received: version=1, which is at .*tiny-lite.1"):
        export_small(model, images, tmp_path, formats=["tflite"], version=1)
    assert first.paths["tflite"].read_bytes() == before
    (tmp_path / "tiny" / "007").mkdir(parents=True)
    (tmp_path / "tiny" / "notes").mkdir()
    second = export_small(model, images, tmp_path, formats=["saved_model"])
    assert second.folder == tmp_path / "tiny" / "8"
    assert sorted(path.name for path in second.folder.iterdir()) == [
        "assets", "assets.extra", "fingerprint.pb", "golden.npz", "saved_model.pb", "variables"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("cifar10", "cifar10"),
        ("data/my photos/", "my_photos"),
        ("Größe.v2", "Gr_e"),
        ("фото", "model"),
        (".", "here"),
    ],
)
def test_any_data_set_gives_a_name_to_serve(tmp_path, monkeypatch, dataset, name):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert versions.name_of(dataset) == name
    versions.check_version(versions.name_of(dataset), 1)


def test_nothing_is_left_when_verification_fails(model, images, tmp_path, monkeypatch):
    def fail(path, images, expected):
        assert path.parent.parent.name == "tiny" and not path.parent.name.isdecimal()
        assert not (tmp_path / "out" / "tiny" / "1").exists()
        raise export.ExportMismatch("Expected energy=1. Received: energy=2")

    monkeypatch.setattr(exporting, "verify", fail)
    with pytest.raises(export.ExportMismatch, match="energy=2"):
        export_small(model, images, tmp_path / "out", formats=["saved_model"])
    assert not list(tmp_path.iterdir())


def test_earlier_versions_survive_a_failure(model, images, tmp_path, monkeypatch):
    (tmp_path / "tiny" / "1").mkdir(parents=True)
    monkeypatch.setattr(exporting, "verify", lambda *_: json.loads("not JSON"))
    with pytest.raises(ValueError, match="Expecting value"):
        export_small(model, images, tmp_path, formats=["saved_model"])
    assert os.listdir(tmp_path / "tiny") == ["1"]


def test_a_full_disk_is_an_error_that_names_the_version(model, images, tmp_path, monkeypatch):
    class FullDisk(type(keras.export.ExportArchive())):
        def write_out(self, *args, **kwargs):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(saved_model.keras.export, "ExportArchive", FullDisk)
    with pytest.raises(OSError, match=r"Cannot write .*tiny.1: .*No space left on device"):
        export_small(model, images, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_named(model, images, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Cannot write .*file.tiny.1"):
        export_small(model, images, tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formats": ["pickle"]}, "a format out of saved_model, .*openvino. Received: 'pickle'"),
        ({"formats": "onnx"}, "Received: formats='onnx'"),
        ({"formats": []}, "saved_model, tflite, onnx, openvino. Received: formats="),
        ({"model_name": "../escape"}, "Received: model_name='../escape'"),
        ({"model_name": ""}, "Received: model_name=''"),
        ({"version": 0}, "integer version > 0. Received: version=0"),
        ({"version": "two"}, "integer version > 0. Received: version='two'"),
        ({"images": np.zeros((2, 8, 8, 3))}, "uint8.*Received: dtype=float"),
        ({"metadata": {"seed": float("nan")}}, "JSON"),
        ({"metadata": {"path": {1, 2}}}, "JSON"),
    ],
)
def test_bad_requests_leave_nothing(model, images, tmp_path, changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        export_small(model, images, tmp_path / "out", **changes)
    assert not list(tmp_path.iterdir())


def test_quiet_hides_native_output_and_brings_it_back(capfd):
    os.write(2, b"before ")
    with pytest.raises(ValueError, match="inside"), quiet(), quiet():
        os.write(2, b"hidden ")
        raise ValueError("inside")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"
