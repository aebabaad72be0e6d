"""train.py with outliers and with several seeds: from data to complete runs, and again."""

import csv
import json
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from tiny_data import contents, tiny_config, trained_run, write_npz
from tiny_models import random_images

from kerasood.commands.train import print_seeds, train
from kerasood.networks.augmentation import Standardize
from kerasood.networks.saving import load_network
from kerasood.networks.wide_resnet import WideResNet
from kerasood.runs import Run, RunConflictError
from kerasood.training import callbacks, stages
from kerasood.training import loop as training
from kerasood.training.callbacks import TrainingDiverged
from kerasood.training.config import stage_config, train_config
from kerasood.training.initial_network import load_base
from kerasood.training.stages import last_epoch
from kerasood.training.trainers import energy

NETWORK_OF = stages.network_of


def small_network(stage, data):
    """Instead of a WideResNet, which takes seconds to compile."""
    if stage.init is not None:
        return load_base(stage.init)
    return keras.Sequential(
        [
            keras.Input((32, 32, 3), dtype="uint8"),
            Standardize(),
            keras.layers.AveragePooling2D(8),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(data.num_classes),
        ]
    )


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(stages, "network_of", small_network)
    monkeypatch.setattr(training, "_tensorboard", lambda run: [])


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(stages.log, "info", lambda text, *values: lines.append(text % values))
    return lines


@pytest.fixture
def base(tmp_path, small):
    write_npz(tmp_path / "tiny.npz", num_images=48)
    return trained_run(tmp_path, pretrain_epochs=2, out=str(tmp_path / "base"))


@pytest.fixture
def outliers(tmp_path):
    images = random_images((32, 32, 3), num_images=20)
    np.savez(tmp_path / "outliers.npz", train_images=images)
    return str(tmp_path / "outliers.npz")


def fine_tune(folder, base, **values):
    here = {"dataset": base.config.dataset, "init": str(base.path), "stage": "finetune"}
    return tiny_config(folder, **{**here, **values})


def rows_of(run):
    with open(run.history, newline="") as file:
        return list(csv.DictReader(file))


def stored(run):
    return json.loads((run.path / "config.json").read_text())


def assert_same_weights(first, second):
    pairs = zip(*(load_network(run.model).get_weights() for run in (first, second)), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


class PowerCut(Exception):
    pass


def test_an_energy_run_stores_its_margins_and_images_and_resumes_with_them(
    tmp_path, base, outliers, monkeypatch, logged
):
    def config(out, **values):
        return fine_tune(
            tmp_path, base, objective="energy", outliers=outliers, finetune_epochs=2,
            out=str(tmp_path / out), **values,
        )

    (whole,) = train(config("whole"))
    printed = "\n".join(logged)
    margin_in, margin_out = (whole.config.derived[f"margin_{part}"] for part in ("in", "out"))
    assert margin_in < margin_out
    assert f"E_in - {margin_in:g})^2" in printed
    assert f"margin_out {margin_out:g} derived from the base" in printed
    assert Run.open(whole.path).config == whole.config
    images = stored(whole)["images"]
    assert {name: digest["count"] for name, digest in images.items()} == {
        "training": 48, "outliers": 20
    }
    for row in rows_of(whole):
        assert float(row["loss"]) > float(row["ce"]) > 0
        assert float(row["energy_out"]) != float(row["energy"])

    def cut_off(path, text):
        raise PowerCut

    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(callbacks, "write_text", cut_off)
        train(config("cut"))
    # The numbers it was started with count, not those that the rule would give now.
    monkeypatch.setattr(energy, "derived_margins", None)
    (resumed,) = train(config("cut", resume=True))
    assert resumed.config == whole.config
    assert rows_of(resumed) == rows_of(whole)
    assert_same_weights(resumed, whole)
    before = contents(whole.path)
    assert train(config("whole")) == [whole]
    assert contents(whole.path) == before


def test_a_run_that_goes_on_with_other_outliers_is_refused(tmp_path, base, outliers, monkeypatch):
    config = fine_tune(tmp_path, base, objective="outlier_exposure", outliers=outliers)
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(training, "fit", lambda *_: (_ for _ in ()).throw(PowerCut))
        train(config)
    np.savez(outliers, train_images=np.zeros((20, 32, 32, 3), "uint8"))
    with pytest.raises(RunConflictError, match="started on other images .outliers: 20 of sha256"):
        train(config)


def test_missing_outliers_stop_everything_before_it_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "fit", None)
    config = tiny_config(tmp_path, stage="all", objective="energy", outliers="gone.npz")
    with pytest.raises(ValueError, match="Expected a path that exists. Received: name='gone.npz'"):
        train(config)
    assert not (tmp_path / "runs").exists()


def test_a_base_is_its_weights_wherever_it_lies(tmp_path, base, monkeypatch):
    shutil.copytree(base.path, tmp_path / "runs" / "pretrain")
    values = {"dataset": base.config.dataset, "stage": "finetune", "objective": "logit_norm"}
    (run,) = train(tiny_config(tmp_path, **values))
    moved = (tmp_path / "runs" / "pretrain").rename(tmp_path / "moved")
    (tmp_path / "link").symlink_to(moved)
    monkeypatch.chdir(tmp_path)
    for place in (moved, tmp_path / "link", "moved", moved / "model.keras"):
        for resume in (False, True):
            again = train(tiny_config(tmp_path, **values, init=str(place), resume=resume))
            assert [each.path for each in again] == [run.path]


def test_a_fine_tune_of_a_base_that_was_trained_again_is_refused(tmp_path, base):
    folder = tmp_path / "runs"
    shutil.copytree(base.path, folder / "pretrain")
    values = {"dataset": base.config.dataset, "stage": "finetune", "objective": "logit_norm"}
    (run,) = train(tiny_config(tmp_path, **values))
    assert stored(run)["config"]["init_hash"] == run.config.init_hash
    assert train(tiny_config(tmp_path, **values)) == [run]
    shutil.rmtree(folder / "pretrain")
    retrained = {**values, "stage": "all", "pretrain_learning_rate": 0.2}
    with pytest.raises(RunConflictError, match="fine-tuned from another model than .*/pretrain"):
        train(tiny_config(tmp_path, **retrained))
    assert Run.open(folder / "pretrain").complete
    with pytest.raises(RunConflictError, match="trained again since. Give another --run or --out"):
        train(tiny_config(tmp_path, **values))


def test_a_fine_tunes_dropout_is_that_of_a_wide_resnet(tmp_path, base):
    data = SimpleNamespace(training=(np.zeros((1, 32, 32, 3), "uint8"),), num_classes=2)
    keras_file = tmp_path / "wide.keras"
    WideResNet(10, 1, 2, dropout=0.3).save(keras_file)
    for dropout, expected in ((None, 0.3), (0.0, 0.0), (0.6, 0.6)):
        config = train_config(finetune_dropout=dropout, precision="float32")
        network = NETWORK_OF(stage_config(config, "finetune", init=str(keras_file)), data)
        assert network.get_config()["dropout"] == expected
    of_another = stage_config(config, "finetune", init=str(base.path))
    with pytest.raises(ValueError, match="no --finetune_dropout for a model that.*Received: 0.6"):
        NETWORK_OF(of_another, data)


def test_several_seeds_train_side_by_side_and_go_on_where_they_were(
    tmp_path, monkeypatch, capsys, logged
):
    def config(**values):
        here = {"stage": "all", "objective": "ce", "holdout": 0.25, "seeds": (1, 2)}
        return tiny_config(tmp_path, **{**here, **values})

    fit, reached = training.fit, []

    def second_diverges(trainer, data, stage, *rest):
        reached.append((stage.seed, stage.stage))
        if len(reached) == 3:
            raise TrainingDiverged("nan")
        return fit(trainer, data, stage, *rest)

    with monkeypatch.context() as patch, pytest.raises(TrainingDiverged):
        patch.setattr(training, "fit", second_diverges)
        train(config())
    assert reached == [(1, "pretrain"), (1, "finetune"), (2, "pretrain")]
    capsys.readouterr()
    runs = train(config(resume=True))
    printed = capsys.readouterr().out
    assert sum("already complete" in line for line in logged) == 2
    out = tmp_path / "runs"
    assert [run.path for run in runs] == [
        out.with_name(f"runs-seed{seed}") / stage
        for seed in (1, 2)
        for stage in ("pretrain", "finetune-ce")
    ]
    assert all(run.complete for run in runs)
    assert [run.config.seed for run in runs] == [1, 1, 2, 2]
    assert runs[1].config.init_hash != runs[3].config.init_hash
    lines = [line for line in printed.splitlines() if "finetune-ce" in line]
    assert "mean" in lines[-2] and "std" in lines[-1] and lines[-1].count(".") == 4
    for run in runs[1::2]:
        assert any(f"{last_epoch(run)['val_accuracy']:.4f}" in line for line in lines)

    # Fine-tunes of other seeds hold out what their common base did.
    (third,) = train(
        config(stage="finetune", init=str(runs[2].path), seeds=(5,), out=str(tmp_path / "one"))
    )
    assert (third.config.seed, third.config.holdout_seed) == (5, 2)
    assert stored(third)["images"] == stored(runs[2])["images"] != stored(runs[0])["images"]


def test_the_table_gives_mean_and_sample_deviation(tmp_path, base, capsys):
    runs = []
    for seed, accuracy in ((1, 0.5), (2, 0.7)):
        folder = tmp_path / str(seed)
        shutil.copytree(base.path, folder)
        text = f"epoch,accuracy,loss\n1,0.1,9.0\n2,{accuracy},1.0\n"
        (folder / "history.csv").write_text(text)
        runs.append(Run.open(folder))
    print_seeds(runs)
    printed = capsys.readouterr().out
    assert "0.5000" in printed and "0.7000" in printed and "val_accuracy" not in printed
    # (0.5 + 0.7) / 2, sqrt(2 * 0.1^2).
    *_, mean, std = [line.split() for line in printed.splitlines() if "pretrain" in line]
    assert mean[3::2] == ["mean", "0.6000", "1.0000"]
    assert std[3::2] == ["std", "0.1414", "0.0000"]
