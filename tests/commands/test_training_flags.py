"""Every flag of train.py acts, in a test that knows all of them."""

import dataclasses

import pytest
from tiny_data import tiny_config

from kerasood.commands.flags import flag_names
from kerasood.data.splits import load_training_data
from kerasood.runs import Run
from kerasood.training import planning, stages
from kerasood.training.config import StageConfig, TrainConfig, train_config
from kerasood.training.trainers import CrossEntropyTraining

OTHER = {
    "stage": "pretrain",
    "dataset": "cifar100",
    "out": "elsewhere",
    "run": "elsewhere",
    "init": "base",
    "depth": 16,
    "width": 3,
    "dropout": 0.1,
    "finetune_dropout": 0.0,
    "objective": "ce",
    "pretrain_objective": "logit_norm",
    "site": "features",
    "weight": 0.5,
    "temperature": 0.1,
    "pretrain_epochs": 7,
    "finetune_epochs": 7,
    "pretrain_learning_rate": 0.2,
    "finetune_learning_rate": 0.2,
    "final_learning_rate": 1e-3,
    "momentum": 0.5,
    "weight_decay": 0.1,
    "batch_size": 99,
    "crop": 1,
    "flip": False,
    "holdout": 0.3,
    "precision": "float32",
    "seed": 77,
    "seeds": (7, 8),
    "outliers": "places365",
    "max_outliers": 100,
    "margins": "reference",
    "margin_in": -9.0,
    "margin_out": -2.0,
}
# What else must be given for a flag to act.
BESIDE = {
    "temperature": {"objective": "logit_norm"},
    "init": {"stage": "finetune"},
    "run": {"stage": "finetune"},
    "outliers": {"objective": "energy"},
    "max_outliers": {"objective": "energy"},
    "margins": {"objective": "energy"},
    "margin_in": {"objective": "energy", "margin_in": -8.0, "margin_out": -1.0},
    "margin_out": {"objective": "energy", "margin_in": -8.0, "margin_out": -1.0},
}
# Parameters of one objective each, which must be given beside them.
OF_METHODS = {
    "oecc": {"accuracy": 0.5, "confidence_weight": 0.5},
    "g_odin": {"similarity": "inner"},
    "confident_gan": {"gan_width": 8},
    "ntom": {"quantile": 0.5},
    "atom": {"attack": 4.0, "attack_step": 1.0, "attack_steps": 3},
    "resampling": {"weight_rate": 10.0, "weighing_epochs": 2, "subset": 0.5},
    "reject_classes": {"reject_classes": 3},
    "mcd": {"margin": 0.5},
    "udg": {"groups": 9, "group_weight": 0.5, "purity": 0.5},
}
for _objective, _parameters in OF_METHODS.items():
    OTHER |= _parameters
    BESIDE |= dict.fromkeys(_parameters, {"objective": _objective})
# They decide where data come from and whether a run may go on, not what it is.
LOADING = {"data_dir": "/data", "download": False, "strict": True}


def planned(monkeypatch, **values):
    monkeypatch.setattr(planning, "check_base", lambda init: None)
    monkeypatch.setattr(planning, "fast_precision", lambda: "mixed_bfloat16")
    monkeypatch.setattr(planning, "base_name", lambda init: "mine")
    stage = "finetune" if "init" in values or "run" in values else "all"
    return planning.planned_runs(train_config(**{"stage": stage, **values}))


def test_every_training_flag_is_known_here():
    assert set(flag_names(TrainConfig)) == {*OTHER, *LOADING, "resume"}


@pytest.mark.parametrize("name", OTHER)
def test_every_flag_changes_a_run_or_its_place(monkeypatch, name):
    beside = BESIDE.get(name, {})
    changed = planned(monkeypatch, **{**beside, name: OTHER[name]})
    assert changed != planned(monkeypatch, **beside)


@pytest.mark.parametrize("name", LOADING)
def test_flags_of_loading_reach_the_source(tmp_path, monkeypatch, name):
    asked = []

    class Asked(Exception):
        pass

    def open_source(dataset, split, options):
        asked.append(options)
        raise Asked

    monkeypatch.setattr("kerasood.data.splits.open_source", open_source)
    with pytest.raises(Asked):
        stages.train(tiny_config(tmp_path, **{name: LOADING[name]}))
    assert getattr(asked[0], name) == LOADING[name] != dataclasses.asdict(train_config())[name]


@pytest.mark.parametrize(
    ("values", "loaded"),
    [
        ({"stage": "all"}, set()),
        (
            {"objective": "energy", "max_outliers": 9, "margin_in": -9.0, "margin_out": -2.0},
            {"max_outliers"},
        ),
    ],
)
def test_every_field_of_a_stage_is_read_by_what_trains_it(
    tmp_path, base, monkeypatch, values, loaded
):
    read = set()

    class Watched(StageConfig):
        def __getattribute__(self, name):
            read.add(name)
            return super().__getattribute__(name)

    monkeypatch.setattr(Run, "start", lambda *_: None)
    monkeypatch.setattr(CrossEntropyTraining, "fit", lambda *_, **__: None)
    config = tiny_config(tmp_path, **{"stage": "finetune", "init": str(base.path), **values})
    config = dataclasses.replace(config, init=None if config.stage == "all" else config.init)
    data = load_training_data(config)
    data = dataclasses.replace(data, outliers=data.training[0][::2] // 2)
    for stage in [run.config for run in planning.planned_runs(config)]:
        watched = dataclasses.asdict(stage)
        read.clear()
        stages._train_stage(Run(tmp_path / "runs" / stage.name, Watched(**watched)), data, False)
        reads = read & set(watched)
        unread = {name for name in watched if name not in reads and watched[name] is not None}
        # The data are loaded before, from the TrainConfig; the stage's name names the directory.
        assert unread == {"stage", "holdout", *loaded}
