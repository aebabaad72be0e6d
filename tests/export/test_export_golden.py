"""`python -m export --verify`: golden images, and files that no longer answer as they did."""

import importlib.util
import shutil

import numpy as np
import pytest
from tiny_models import ood_model, random_images, small_network

from kerasood import export
from kerasood.commands.export import export as export_command
from kerasood.detectors import Energy
from kerasood.export import ExportConfig
from kerasood.export.checks import golden
from kerasood.export.metadata import read_metadata, write_metadata

TFLITE = export.FORMATS["tflite"]

@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The version folder of a SavedModel and a .tflite file, and the model."""
    model = ood_model(small_network(), Energy())
    result = export.export_model(
        model,
        tmp_path_factory.mktemp("exported"),
        images=random_images(model.image_shape, num_images=40),
        formats=("saved_model", "tflite"),
    )
    return result.folder, model


@pytest.fixture
def folder(exported, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(exported[0], tmp_path / "1")


def verify(folder):
    return export_command(ExportConfig(verify=str(folder)))


def test_golden_images_are_a_few_of_those_verified_with(exported):
    folder, model = exported
    images, answers = golden.read_golden(folder)
    rows = [round(i * 39 / 15 - 0.49) for i in range(16)]
    np.testing.assert_array_equal(images, random_images((8, 8, 3), num_images=40)[rows])
    expected = export.eager_outputs(model, images)
    assert answers.keys() == {"keras"}
    all_scores = export.eager_outputs(model, random_images((8, 8, 3), num_images=40))
    accepted = all_scores["score"][~all_scores["is_ood"]]
    assert answers["keras"].pop("spread") == pytest.approx(np.std(accepted, dtype="float64"))
    assert answers["keras"].keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(answers["keras"][name], values, rtol=1e-5, atol=1e-6)


def test_fewer_images_are_all_kept(tmp_path):
    images = random_images((8, 8, 3), num_images=3)
    keras_outputs = {"score": np.arange(3.0), "is_ood": np.array([False, False, True])}
    own = {"score": -np.arange(3.0), "is_ood": np.zeros(3, bool)}
    golden.write_golden(tmp_path, images, keras_outputs, {"tflite": own})
    stored, answers = golden.read_golden(tmp_path)
    np.testing.assert_array_equal(stored, images)
    np.testing.assert_array_equal(answers["keras"]["score"], [0, 1, 2])
    np.testing.assert_array_equal(answers["tflite"]["score"], [0, -1, -2])
    assert answers["keras"]["spread"] == 0.5


def test_an_untouched_version_answers_again(exported, capsys):
    reports = verify(exported[0])
    assert list(reports) == ["saved_model", "tflite"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["saved_model", "tflite"]
    assert all("16 images: the score within" in line for line in lines)


def test_another_files_answers_are_told_apart(folder, refused, tmp_path, capsys):
    network = small_network()
    head = network.layers[-1]
    head.bias.assign(head.bias + 1.0)
    other = TFLITE.write(ood_model(network, Energy()), tmp_path / "model.tflite", {})
    shutil.copy(other, folder / "model.tflite")
    capsys.readouterr()
    with pytest.raises(export.ExportMismatch, match="Received: others from tflite"):
        verify(folder)
    lines = capsys.readouterr().out.splitlines()
    assert "saved_model: 16 images" in lines[0]
    assert "tflite: differs: Expected energy=" in lines[1] and "for image 0" in lines[1]
    assert "others from tflite" in refused(export_command, ExportConfig(verify=str(folder)))


@pytest.mark.parametrize("file", ["model.tflite", "saved_model.pb"])
def test_a_damaged_file_differs(folder, file, capsys):
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(export.ExportMismatch):
        verify(folder)
    assert "differs: Expected answers from" in capsys.readouterr().out


def test_another_threshold_beside_the_file_differs(folder, capsys):
    metadata = read_metadata(folder / "model.tflite")
    write_metadata(folder / "model.tflite", {**metadata, "threshold": metadata["threshold"] - 1})
    with pytest.raises(export.ExportMismatch, match="others from tflite$"):
        verify(folder)
    assert "Expected is_ood=" in capsys.readouterr().out


def test_what_cannot_be_replayed(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected golden images in"):
        verify(tmp_path)
    (folder / "golden.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="Expected golden images in"):
        verify(folder)
    outputs = {"score": np.zeros(12), "is_ood": np.zeros(12, bool)}
    golden.write_golden(tmp_path, random_images((8, 8, 3)), outputs)
    with pytest.raises(FileNotFoundError, match="Expected exported files in"):
        verify(tmp_path)


def test_files_whose_packages_are_missing_are_named(folder, tmp_path, monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else found(name)
    )
    (folder / "model.onnx").touch()
    assert "tf2onnx" in verify(folder)["onnx"]
    assert "onnx: not run, since tf2onnx" in capsys.readouterr().out
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("golden.npz", "model.onnx"):
        shutil.copy(folder / name, alone)
    with pytest.raises(export.ExportMismatch, match="can be run .* Received: none .onnx"):
        verify(alone)
