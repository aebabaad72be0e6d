"""The networks that come with the package, and what the commands make of zoo:NAME."""

import hashlib
import json
import re
import shutil

import keras
import numpy as np
import pytest
from tiny_data import contents, tiny_config, write_npz
from tiny_models import random_images, wide_resnet

import kerasood
from kerasood.commands.evaluate import evaluate
from kerasood.commands.export import export
from kerasood.commands.train import train
from kerasood.config import EvaluateConfig
from kerasood.data.options import DataOptions
from kerasood.export import ExportConfig, Exported
from kerasood.networks import zoo
from kerasood.networks.fingerprint import weights_hash
from kerasood.networks.saving import load_network, save_network
from kerasood.networks.zoo.weights import read_weights, write_weights
from kerasood.runs import Run, open_run
from kerasood.training import planning
from kerasood.training.config import StageConfig, train_config

BASE, TUNED = "cifar10-wrn10-1-base", "cifar10-wrn10-1-sparsity-logits"


@pytest.fixture
def place(tmp_path, monkeypatch, empty_places):
    """A folder to work in, with a few images that go by the name of CIFAR-10."""
    monkeypatch.chdir(tmp_path)
    write_npz(tmp_path / "cifar10.npz", num_images=40, num_classes=10)
    return tmp_path


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A zoo of one entry whose files may be damaged."""
    for path in zoo.FOLDER.glob(f"{BASE}.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    return tmp_path


def test_there_are_bases_and_fine_tunes_for_both_data_sets():
    large = {
        f"{data}-wrn40-2-{kind}"
        for data in ("cifar10", "cifar100")
        for kind in ("base", "ce", "sparsity-features", "sparsity-logits")
    }
    assert {BASE, TUNED} | large <= set(kerasood.networks.zoo.names())
    assert list(zoo.names()) == sorted(zoo.names())
    files = {path.name for path in zoo.FOLDER.iterdir()}
    assert files == {f"{name}.{kind}" for name in zoo.names() for kind in ("json", "npz")}


@pytest.mark.parametrize("name", zoo.names())
def test_every_entry_is_what_it_says(name):
    entry = zoo.describe(name)
    network = zoo.load(name)
    assert entry["name"] == name
    assert weights_hash(network) == entry["weights"]["hash"]
    assert entry["weights"]["hash"] != entry["weights"]["hash_before_rounding"]
    content = (zoo.FOLDER / entry["weights"]["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry["weights"]["sha256"]
    assert len(content) == entry["weights"]["bytes"] < 2.1 * entry["parameters"] + 10_000
    assert network.count_params() == entry["parameters"]
    assert {layer.compute_dtype for layer in network._flatten_layers()} == {"float32"}
    config = StageConfig.from_dict(entry["config"])
    assert (config.stage == "pretrain") == (entry["base"] is None)
    assert entry["base"] is None or zoo.describe(entry["base"])["config"]["stage"] == "pretrain"
    assert len(entry["history"]) == config.epochs
    logits = np.asarray(network(random_images((32, 32, 3))))
    assert np.isfinite(logits).all() and np.ptp(logits) > 1
    accuracy = entry["accuracy"]
    assert accuracy["num_images"] == 10_000
    assert abs(accuracy["accuracy"] - accuracy["before_rounding"]) <= 0.001


@pytest.mark.parametrize("name", zoo.names())
def test_nobody_mistakes_an_entry_for_the_papers(name):
    entry = zoo.describe(name)
    shape = f"wrn{entry['network']['depth']}-{entry['network']['width']}"
    if entry["of_the_paper"]:
        assert shape == "wrn40-2" and entry["epochs"]["pretrain"] == 100
    else:
        assert shape in name and "not the paper's" in entry["summary"]


@pytest.mark.parametrize("name", zoo.names())
def test_an_entry_names_no_place_of_the_machine_that_trained_it(name):
    text = (zoo.FOLDER / f"{name}.json").read_text()
    assert not re.search(r'["= ]/\w', text)
    assert "--data_dir" not in text


def test_the_networks_are_small_enough_to_ship():
    entries = [zoo.describe(name) for name in zoo.names()]
    assert max(entry["weights"]["bytes"] for entry in entries) < 4.6e6
    assert sum(entry["weights"]["bytes"] for entry in entries) < 40e6


def test_kernels_are_rounded_to_float16_and_vectors_are_not(tmp_path):
    network = wide_resnet()
    sha256 = write_weights(tmp_path / "x.npz", network.weights)
    values = read_weights(tmp_path / "x.npz", network.weights, sha256)
    for variable, value in zip(network.weights, values, strict=True):
        before = np.asarray(variable)
        assert value.dtype == np.float32
        if before.ndim == 1:
            np.testing.assert_array_equal(value, before)
        else:
            np.testing.assert_array_equal(value, before.astype("float16").astype("float32"))
            assert (value != before).any()
            # 11 bits: half a unit in the last place is 2^-11 of the value.
            np.testing.assert_allclose(value, before, rtol=2**-11, atol=2**-25)
    images = random_images((32, 32, 3))
    before = np.asarray(network(images))
    network.set_weights(values)
    error = np.abs(np.asarray(network(images)) - before).max()
    assert 0 < error < 0.005 * np.ptp(before)


def test_the_file_does_not_depend_on_when_it_is_written(tmp_path):
    network = wide_resnet()
    first = write_weights(tmp_path / "a.npz", network.weights)
    assert write_weights(tmp_path / "b.npz", network.weights) == first


def test_weights_that_float16_cannot_hold_are_refused(tmp_path):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    kernel, bias = np.array([[1.0], [70000.0]]), np.array([70000.0])
    network.set_weights([kernel, bias])
    with pytest.raises(ValueError, match="at most 65504. Received: 70000 in .*kernel"):
        write_weights(tmp_path / "x.npz", network.weights)
    assert not (tmp_path / "x.npz").exists()
    network.set_weights([kernel / 2, bias])
    sha256 = write_weights(tmp_path / "x.npz", network.weights)
    assert read_weights(tmp_path / "x.npz", network.weights, sha256)[1] == 70000


def test_unknown_names():
    with pytest.raises(ValueError, match=f"{BASE}, .*Did you mean '{BASE}'.*'cifar10-wrn10-bse'"):
        zoo.load("cifar10-wrn10-bse")
    with pytest.raises(ValueError, match="of the zoo out of cifar10.*. Received: '../x'"):
        zoo.describe("../x")


def test_damaged_files(copied):
    path = copied / f"{BASE}.npz"
    content = path.read_bytes()
    path.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    with pytest.raises(ValueError, match=f"{path}. Received: .*damaged or was replaced"):
        zoo.load(BASE)
    path.write_bytes(content[:5000])
    with pytest.raises(ValueError, match="Expected weights of sha256"):
        zoo.load(BASE)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=str(path)):
        zoo.load(BASE)
    (copied / f"{BASE}.json").write_text("{")
    with pytest.raises(ValueError, match=f"Expected JSON in {copied / BASE}.json"):
        zoo.load(BASE)


def test_a_description_of_another_network(copied):
    entry = zoo.describe(BASE)
    entry["network"]["num_classes"] = 7
    (copied / f"{BASE}.json").write_text(json.dumps(entry))
    with pytest.raises(ValueError, match=r"described beside .*others \(logits/bias, logits/kern"):
        zoo.load(BASE)


def test_a_fine_tune_from_the_zoo(place):
    config = train_config(
        stage="finetune", init=f"zoo:{BASE}", data_dir=str(place), download=False,
        finetune_epochs=1, batch_size=20, crop=0, flip=False,
    )
    (run,) = train(config)
    assert str(run.path) == "runs/cifar10-wrn10-1-seed1/finetune-sparsity-logits"
    assert Run.open(run.path).config == run.config
    assert run.config.init == f"zoo:{BASE}"
    assert run.config.init_hash == zoo.describe(BASE)["weights"]["hash"]
    assert weights_hash(load_network(run.initial_model)) == run.config.init_hash
    assert weights_hash(load_network(run.model)) != run.config.init_hash
    before = contents(run.path)
    train(config)
    assert contents(run.path) == before, "already complete"


def tuning(place, **values):
    values = {"init": f"zoo:{BASE}", "dataset": "cifar10", "data_dir": str(place), **values}
    return tiny_config(place, stage="finetune", **values)


def test_a_base_that_cannot_be(place, refused):
    line = refused(train, tuning(place, init="zoo:cifar10-wrn10-1-bse"))
    assert f"Did you mean '{BASE}'? Received: 'cifar10-wrn10-1-bse'" in line
    line = refused(train, tuning(place, dataset=write_npz(place / "three.npz", num_classes=3)))
    assert "logits (None, 3)" in line and f"in zoo:{BASE}" in line
    line = refused(train, tuning(place, holdout=0.1))
    assert "a base that never saw the images --holdout keeps out" in line
    assert f"Received: zoo:{BASE} (holdout=0.0 there, 0.1 now)" in line
    assert "--init with --stage=finetune only" in refused(
        train, tiny_config(place, stage="all", init=f"zoo:{BASE}")
    )
    assert not (place / "runs").exists()


def test_a_base_that_held_out_the_same_images(copied):
    entry = zoo.describe(BASE)
    entry["config"] |= {"holdout": 0.1, "seed": 4}
    (copied / f"{BASE}.json").write_text(json.dumps(entry))
    config = train_config(stage="finetune", init=f"zoo:{BASE}", holdout=0.1, seeds=(4, 5))
    runs = planning.planned_runs(config)
    assert [run.config.holdout_seed for run in runs] == [None, 4]


def test_an_evaluation_before_and_after_from_the_zoo(place):
    config = EvaluateConfig(
        run=(f"zoo:{TUNED}",), data_dir=str(place), ood=("blobs",), detectors=("energy",),
        batch_size=40, download=False,
    )
    results, page = evaluate(config)
    assert str(page) == f"zoo-runs/{TUNED}/evaluation/report.html"
    assert [model["label"] for model in results["models"]] == ["base", "+ sparsity (logits)"]
    assert [model["seed"] for model in results["models"]] == [1, 1]
    run = open_run(f"zoo:{TUNED}")
    assert run.config.init == f"zoo:{BASE}"
    assert weights_hash(load_network(run.model)) == zoo.describe(TUNED)["weights"]["hash"]
    assert weights_hash(load_network(run.initial_model)) == zoo.describe(BASE)["weights"]["hash"]
    written = json.loads((run.path / "config.json").read_text())
    assert written["commit"] == zoo.describe(TUNED)["commit"]


def test_an_export_from_the_zoo(place, monkeypatch, caplog):
    served = []
    caplog.set_level("INFO", "kerasood")

    def record(model, folder, **_):
        served.append(model)
        return Exported(place, {}, {})

    monkeypatch.setattr("kerasood.export.runs.export_model", record)
    export(ExportConfig(
        run=f"zoo:{BASE}", detector="energy", data_dir=str(place), download=False, tpr=0.8
    ))
    images = random_images((32, 32, 3))
    np.testing.assert_allclose(
        served[0](images)["logits"], zoo.load(BASE)(images), rtol=1e-4, atol=1e-4
    )
    assert f"zoo-runs/{BASE}: energy" in caplog.text


def test_where_a_network_is_unpacked_nothing_else_may_be(place, refused):
    config = EvaluateConfig(run=(f"zoo:{BASE}",), data_dir=str(place), ood=("blobs",))
    (place / "zoo-runs" / BASE).mkdir(parents=True)
    (place / "zoo-runs" / BASE / "mine.txt").write_text("mine")
    assert "Expected a new or empty run directory" in refused(evaluate, config)
    (place / "zoo-runs" / BASE / "mine.txt").unlink()
    run = open_run(f"zoo:{BASE}")
    network = load_network(run.model)
    network.get_layer("logits").bias.assign_add(np.ones(10))
    save_network(network, run.model)
    assert f"other weights than the zoo's {BASE}: delete that dir" in refused(evaluate, config)
    assert "Did you mean" in refused(evaluate, EvaluateConfig(run=("zoo:cifar10-wrn10-1-bas",)))


def test_the_papers_suite_wants_a_fine_tune_of_the_zoo(place, refused):
    config = EvaluateConfig(suite="paper", run=(f"zoo:{BASE}",))
    line = refused(evaluate, config)
    assert "Expected a fine-tune that keeps the model it started from" in line
    assert f"Received: zoo-runs/{BASE}" in line


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.names())
def test_the_accuracy_is_the_one_that_is_stated(name):
    from kerasood.data.open import availability, open_source
    from scripts.zoo_entry import accuracy

    entry = zoo.describe(name)
    if availability(entry["dataset"], "test", DataOptions(download=False)):
        pytest.skip(f"{entry['dataset']} is not at hand")
    test = open_source(entry["dataset"], "test", DataOptions(download=False))
    if test.num_images < 10_000:
        pytest.skip("not the whole test set")
    # Another machine may round an image across the border of two classes.
    assert accuracy(zoo.load(name), test) == pytest.approx(
        entry["accuracy"]["accuracy"], abs=0.0005
    )
