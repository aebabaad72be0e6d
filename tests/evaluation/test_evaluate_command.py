"""Bad input to evaluate and export: one line that says what and how, exit status 1."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_data import contents, images_of

from kerasood.benchmarking import run_directories
from kerasood.commands.evaluate import evaluate
from kerasood.commands.export import export
from kerasood.config import EvaluateConfig
from kerasood.data import roles
from kerasood.export import ExportConfig
from kerasood.names import choose

pytestmark = pytest.mark.usefixtures("empty_places")


def evaluation(run, **values):
    return EvaluateConfig(**{"run": (str(run.path),), "download": False, **values})


def write_images(folder, count=3):
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(images_of([2], seed=i)[0]).save(folder / f"{i}.png")
    return folder


def test_an_empty_folder(tmp_path, base, refused):
    (tmp_path / "photos").mkdir()
    line = refused(evaluate, evaluation(base, ood=(f"mine={tmp_path}/photos",)))
    assert f"{tmp_path}/photos: expected image files" in line


def test_a_report_that_cannot_be_written_is_noticed_before_the_work(
    tmp_path, base, refused, monkeypatch
):
    (tmp_path / "file").write_text("mine")
    before = contents(base.path)
    monkeypatch.setattr(run_directories, "evaluate_subjects", None)
    line = refused(evaluate, evaluation(base, ood=("blobs",), out=f"{tmp_path}/file/x"))
    assert f"Cannot write to {tmp_path}/file/x: Not a directory" in line
    assert contents(base.path) == before
    assert (tmp_path / "file").read_text() == "mine"


def test_own_images_in_a_folder_of_any_name(tmp_path, base, capsys):
    write_images(tmp_path / "mine[v2]")
    out = f"{tmp_path}/rep[/v2]"
    results, page = evaluate(evaluation(
        base, ood=(f"svhn={tmp_path}/mine[v2]",), detectors=("energy",), out=out
    ))
    (entry,) = results["sets"]
    assert (entry["title"], entry["note"]) == ("svhn", "the user's own images, not SVHN")
    assert page.is_file() and f"report: {out}/report.html\n" in capsys.readouterr().out


def test_an_unknown_ood_set_or_detector(base, refused):
    assert "Did you mean 'svhn'?" in refused(evaluate, evaluation(base, ood=("svnh",)))
    line = refused(evaluate, evaluation(base, detectors=("enrgy",)))
    assert "Did you mean 'energy'? Received: 'enrgy'" in line
    line = refused(export, ExportConfig(run=str(base.path), detector="enrgy"))
    assert "Did you mean 'energy'?" in line
    with pytest.raises(ValueError, match="Expected a colour out of red, blue. Received: 'x'"):
        choose("colour", "x", ("red", "blue"))


def test_sets_that_are_not_at_hand_are_named_with_the_way_to_them(
    base, refused, capsys, monkeypatch
):
    assert "svhn: not found" in refused(evaluate, evaluation(base, ood=("svhn",)))
    monkeypatch.setattr(roles, "ood_names", lambda _: ("svhn", "isun"))
    with pytest.raises(ValueError, match="at hand.*Received: none; svhn: not") as e:
        evaluate(evaluation(base))
    assert "iSUN.tar.gz" in str(e.value)


@pytest.mark.parametrize(
    "ood",
    [("in=a",), ("train=a",), ("calibration=a",), ("x=a", "x=b"), ("blobs", "blobs=a")],
)
def test_sets_that_would_be_confused(base, refused, ood, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        write_images(tmp_path / name)
    assert "every OOD set under a name of its own" in refused(evaluate, evaluation(base, ood=ood))


def test_what_is_no_finished_run(tmp_path, base, refused, monkeypatch):
    shutil.copytree(base.path, tmp_path / "cut")
    (tmp_path / "cut" / "model.keras").unlink()
    for story, config in (
        (evaluate, EvaluateConfig(run=(str(tmp_path / "cut"),), ood=("blobs",))),
        (export, ExportConfig(run=str(tmp_path / "cut"), out=str(tmp_path / "out"))),
    ):
        line = refused(story, config)
        assert "training has not finished (continue it with `train.py --resume`)" in line
    assert "Expected a run directory" in refused(evaluate, EvaluateConfig(run=(str(tmp_path),)))
    monkeypatch.chdir(tmp_path)
    assert "No complete run under runs/" in refused(evaluate, EvaluateConfig())
    assert not (tmp_path / "out").exists()


def test_runs_on_different_data(tmp_path, base, refused):
    shutil.copytree(base.path, tmp_path / "other")
    stored = json.loads((base.path / "config.json").read_text())
    stored["config"]["dataset"] = "digits"
    (tmp_path / "other" / "config.json").write_text(json.dumps(stored))
    runs = (str(base.path), str(tmp_path / "other"))
    line = refused(evaluate, EvaluateConfig(run=runs))
    assert f"runs on one data set. Received: runs on {base.config.dataset}, digits" in line


def test_test_images_without_labels(tmp_path, base, refused):
    data = np.load(base.config.dataset)
    names = ("train_images", "train_labels", "test_images")
    np.savez(tmp_path / "tiny.npz", **{name: data[name] for name in names})
    data.close()
    unlabelled = dataclasses.replace(base.config, dataset=str(tmp_path / "tiny.npz"))
    shutil.copytree(base.path, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(
        json.dumps({"config": dataclasses.asdict(unlabelled)})
    )
    line = refused(evaluate, EvaluateConfig(run=(str(tmp_path / "run"),), ood=("blobs",)))
    assert "Expected labelled test images" in line


def test_damaged_images_are_left_out_and_counted_or_an_error(tmp_path, base, refused, capsys):
    folder = write_images(tmp_path / "deep" / "folder", count=4)
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])
    values = {"ood": (f"my=own={folder}",), "detectors": ("energy",), "out": str(tmp_path / "out")}
    line = refused(evaluate, evaluation(base, strict=True, **values))
    assert f"{folder}/2.png: unreadable image" in line
    assert not list((tmp_path / "out").iterdir())
    results, page = evaluate(evaluation(base, **values))
    (entry,) = results["sets"]
    assert (entry["name"], entry["role"], entry["num_images"]) == ("my=own", "far", 3)
    assert "1 unreadable files left out" in entry["note"]
    assert len(results["metrics"]) == 1 and page == tmp_path / "out" / "report.html"
    assert f"report: {page}" in capsys.readouterr().out.replace("\n", "")
    assert json.loads((tmp_path / "out" / "results.json").read_text())["sets"] == [entry]
    assert list(json.loads(base.thresholds.read_text())) == ["energy"]
