"""The script that makes an entry of the zoo out of a run, and the page that lists them."""

import itertools
import json
import pathlib
import shutil

import numpy as np
import pytest

from kerasood.data.open import open_source
from kerasood.evaluation.outputs import collect_source
from kerasood.extractor.build import build_extractor
from kerasood.networks import zoo
from kerasood.networks.fingerprint import weights_hash
from kerasood.networks.saving import load_network, save_network
from kerasood.runs import Run
from scripts import zoo_entry

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
PAGE = "Before.\n\n| name | old |\n| --- | --- |\n\nAfter.\n"


@pytest.fixture
def runs(base, tmp_path, monkeypatch):
    """A base and a fine-tune that say that they were trained on the digits; an empty zoo."""
    stored = json.loads((base.path / "config.json").read_text())
    stored["config"] |= {"dataset": "digits"}
    folder = tmp_path / "runs" / "digits-seed1"
    stored["command"] = f"train.py --data_dir=/d --nodownload --seed=1 --out={folder}"
    pretrain, tuned = folder / "pretrain", folder / "finetune-sparsity-logits"
    shutil.copytree(base.path, pretrain)
    (pretrain / "config.json").write_text(json.dumps(stored))
    shutil.copytree(pretrain, tuned)
    stored["config"] |= {
        "stage": "finetune", "objective": "sparsity", "site": "logits", "init": str(pretrain)
    }
    (tuned / "config.json").write_text(json.dumps(stored))
    (tuned / "model.keras").rename(tuned / "initial.keras")
    network = load_network(tuned / "initial.keras")
    network.get_layer("logits").bias.assign_add([0.5, 0])
    save_network(network, tuned / "model.keras")
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "zoo")
    monkeypatch.setattr(zoo_entry, "PAGE", tmp_path / "zoo.md")
    zoo_entry.PAGE.write_text(PAGE)
    return Run.open(pretrain), Run.open(tuned)


@pytest.fixture
def unmeasured(monkeypatch):
    """Accuracies without a forward pass: 0, then 1 / 8, 2 / 8..."""
    counted = itertools.count()
    monkeypatch.setattr(zoo_entry, "accuracy", lambda network, test: next(counted) / 8)


def enter(run, name, *more):
    zoo_entry.main([f"--run={run.path}", f"--name={name}", *more])
    return zoo.describe(name)


def refusal(capsys, *arguments):
    with pytest.raises(SystemExit):
        enter(*arguments)
    return capsys.readouterr().err


def evaluation_of(run, path):
    """Results in which the run's model is the second; the first has other weights."""
    models = [("base", run.initial_model), ("tuned", run.model)]
    numbers = [("base", 0.5), ("tuned", 0.25)]
    results = {
        "models": [{"key": key, "description": str(place)} for key, place in models],
        "sets": [
            {"name": "blobs", "title": "Blobs", "role": "far", "num_images": 9,
             "published_images": None, "note": "", "extra": 1}
        ],
        "metrics": [
            {"model": key, "detector": detector, "set": "blobs",
             "fpr95": {"mean": value + (detector == "msp")}, "auroc": {"mean": 1 - value}}
            for key, value in numbers for detector in ("msp", "energy")
        ],
        "means": [
            {"model": key, "detector": "energy", "role": "far", "num_sets": 1, "fpr95": value,
             "auroc": 1 - value, "aupr_in": 0.1}
            for key, value in numbers
        ],
        "protocol": {"name": "full", "positive": "in"},
        "commit": "abc",
    }
    path.write_text(json.dumps(results))
    return path


def test_a_base_and_a_fine_tune_become_entries(runs, unmeasured, tmp_path, capsys):
    pretrain, tuned = runs
    first = enter(pretrain, "digits-wrn10-1-base")
    evaluation = evaluation_of(tuned, tmp_path / "results.json")
    second = enter(tuned, "digits-wrn10-1-sparsity", f"--evaluation={evaluation}")
    assert (first["base"], second["base"]) == (None, "digits-wrn10-1-base")
    assert first["epochs"] == {"pretrain": 1} and second["epochs"]["finetune"] == 1
    assert second["command"] == "train.py --seed=1 --out=runs/digits-seed1"
    assert second["config"]["init"] == "runs/digits-seed1/pretrain"
    assert "fine-tuned for 1 (sparsity on logits), seed 1: small or" in second["summary"]
    assert first["evaluation"] is None
    (of_set,) = second["evaluation"]["sets"]
    assert (of_set["name"], of_set["fpr95"], of_set["auroc"]) == ("blobs", 0.25, 0.75)
    assert str(tmp_path) not in (zoo.FOLDER / "digits-wrn10-1-sparsity.json").read_text()
    loaded = zoo.load("digits-wrn10-1-sparsity")
    assert weights_hash(loaded) == second["weights"]["hash"]
    assert weights_hash(load_network(tuned.model)) == second["weights"]["hash_before_rounding"]
    table = zoo_entry.PAGE.read_text()
    assert table == zoo_entry.with_table(PAGE)
    row = "| `digits-wrn10-1-sparsity` | WRN-10-1 | 1 + 1 | 1 | 25.00 | 25.00 / 75.00 (1 sets) | "
    assert row in table and table.startswith("Before.") and table.endswith("After.\n")
    assert second["accuracy"]["num_images"] == open_source("digits", "test").num_images
    assert "test images (0.3750 before rounding); " in capsys.readouterr().out


def test_the_accuracy_is_measured_on_what_was_written(runs):
    entry = enter(runs[0], "digits-wrn10-1-base")
    test = open_source("digits", "test")
    images, labels = next(test.batches(1000))
    predicted = np.argmax(zoo.load("digits-wrn10-1-base")(images), axis=-1)
    assert entry["accuracy"]["num_images"] == len(images) == test.num_images
    assert entry["accuracy"]["accuracy"] == np.mean(predicted == labels)
    collected = collect_source(build_extractor(load_network(runs[0].model)), test)
    own = np.argmax(collected.outputs["logits"], axis=-1)
    assert entry["accuracy"]["before_rounding"] == np.mean(own == labels)


def test_what_is_refused(runs, unmeasured, tmp_path, capsys, base):
    pretrain, tuned = runs
    assert "write the base's entry first" in refusal(capsys, tuned, "digits-wrn10-1-x")
    assert "starts with digits-. Received: 'cifar10-x'" in refusal(capsys, pretrain, "cifar10-x")
    assert "with wrn10-1 in it, since network or" in refusal(capsys, pretrain, "digits-base")
    assert "run on a registered data set" in refusal(capsys, base, "tiny-wrn10-1-base")
    evaluation = evaluation_of(tuned, tmp_path / "results.json")
    shutil.move(tuned.initial_model, tmp_path / "away.keras")
    assert "an evaluation in which this run took part" in refusal(
        capsys, pretrain, "digits-wrn10-1-base", f"--evaluation={evaluation}"
    )
    assert "there is no file" in refusal(
        capsys, pretrain, "digits-wrn10-1-base", "--evaluation=nothing.json"
    )
    assert zoo.names() == () and zoo_entry.PAGE.read_text() == PAGE
    enter(pretrain, "digits-wrn10-1-base")
    written = zoo.describe("digits-wrn10-1-base")
    assert "Expected a new name, or --overwrite" in refusal(
        capsys, pretrain, "digits-wrn10-1-base"
    )
    assert zoo.describe("digits-wrn10-1-base") == written
    again = enter(pretrain, "digits-wrn10-1-base", "--overwrite")
    assert again["weights"] == written["weights"] and again["accuracy"] != written["accuracy"]


def test_the_papers_names_are_for_the_papers_recipe():
    entry = {"network": {"depth": 40, "width": 2}, "name": "cifar10-base", "dataset": "cifar10"}
    zoo_entry._check_name({**entry, "of_the_paper": True}, overwrite=False)
    with pytest.raises(ValueError, match="with wrn40-2 in it"):
        zoo_entry._check_name({**entry, "of_the_paper": False}, overwrite=False)


def test_the_page_lists_what_there_is():
    text = zoo_entry.PAGE.read_text(encoding="utf-8")
    assert zoo_entry.table() in text
    for name in zoo.names():
        assert f"| `{name}` |" in text


def test_the_files_are_packaged():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["kerasood.networks.zoo"]
    packaged = {path for pattern in patterns for path in (zoo.FOLDER.parent).glob(pattern)}
    assert packaged == set(zoo.FOLDER.iterdir())
