import dataclasses

import pytest
from absl import flags
from tiny_data import tiny_config

from kerasood.commands.common import spelled_for_absl
from kerasood.commands.flags import define_flags, flag_names, from_flags
from kerasood.config import ConvertConfig, EvaluateConfig
from kerasood.data.splits import load_training_data
from kerasood.export import ExportConfig
from kerasood.runs import Run
from kerasood.training import planning, stages
from kerasood.training.config import StageConfig, TrainConfig, stage_config, train_config
from kerasood.training.recipe import PRESETS
from kerasood.training.trainers import CrossEntropyTraining

CONFIGS = (TrainConfig, EvaluateConfig, ExportConfig, ConvertConfig)
TYPES = {"b": True, "i": 3, "f": 0.25, "s": "text"}


def parsed(config_class, *arguments):
    values = flags.FlagValues()
    define_flags(config_class, values)
    values(["program", *arguments])
    return from_flags(config_class, values)


def plain_fields(config_class):
    return [field for field in dataclasses.fields(config_class) if "fields" not in field.metadata]


@pytest.mark.parametrize("config_class", CONFIGS)
def test_every_field_has_a_flag_with_its_default_help_and_choices(config_class):
    values = flags.FlagValues()
    define_flags(config_class, values)
    for field in plain_fields(config_class):
        flag = values[field.name]
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        assert flag.default == default and flag.help.endswith(field.metadata["help"])
        choices = field.metadata["choices"]
        choices = choices() if callable(choices) else choices
        assert getattr(flag.parser, "enum_values", None) == (list(choices) if choices else None)
    assert parsed(config_class) == config_class()


@pytest.mark.parametrize("config_class", CONFIGS)
def test_a_flag_has_the_type_of_its_field(config_class):
    for field in plain_fields(config_class):
        if field.metadata["choices"]:
            continue
        kind = str(field.type).removeprefix("<class '")[0]
        if field.type == tuple[float, ...]:
            given, expected = "1,0.5", (1.0, 0.5)
        elif field.type == tuple[int, ...]:
            given, expected = "3,12", (3, 12)
        elif kind == "t":
            given, expected = "a,b", ("a", "b")
        else:
            given = expected = TYPES[kind]
        found = getattr(parsed(config_class, f"--{field.name}={given}"), field.name)
        assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    "argument", ["--stage=both", "--depth=ten", "--crop=1.5", "--flip=maybe", "--weight=light"]
)
def test_a_value_of_another_kind_is_refused(argument):
    with pytest.raises(flags.IllegalFlagValueError, match=argument[2:].partition("=")[0]):
        parsed(TrainConfig, argument)


def test_booleans_are_switched_off_with_no():
    assert parsed(TrainConfig).download and not parsed(TrainConfig, "--nodownload").download
    assert not parsed(TrainConfig, "--noflip").flip
    assert not parsed(ExportConfig, *spelled_for_absl(["--no-download"])).download
    assert spelled_for_absl(["--run=--no-x", "--no-step", "-no-step", "--no-"]) == [
        "--run=--no-x", "--nostep", "--nostep", "--no-"
    ]  # fmt: skip


def test_lists_are_separated_by_commas():
    config = parsed(EvaluateConfig, "--run=a,b/c", "--ood=svhn,mine=x/y")
    assert (config.run, config.ood) == (("a", "b/c"), ("svhn", "mine=x/y"))
    assert parsed(EvaluateConfig, "--run=a").run == ("a",)
    assert parsed(EvaluateConfig).run == ()


def test_a_preset_fills_what_no_flag_gives():
    config = parsed(TrainConfig, "--dataset=digits", "--depth=16", "--noflip", "--crop=0")
    assert (config.depth, config.crop, config.flip) == (16, 0, False)
    assert (config.width, config.dropout, config.pretrain_epochs) == (1, 0.0, 15)
    assert config.pretrain_learning_rate == 0.1


def test_a_flag_equal_to_the_recipe_still_wins_over_the_preset():
    config = parsed(TrainConfig, "--dataset=digits", "--depth=40", "--flip")
    assert (config.depth, config.flip) == (40, True)


def test_other_data_sets_get_the_recipe():
    assert parsed(TrainConfig, "--dataset=cifar100") == train_config(dataset="cifar100")
    assert (train_config().depth, TrainConfig().width, TrainConfig().batch_size) == (40, 2, 128)


def test_train_config_is_what_the_flags_give():
    flags_given = parsed(TrainConfig, "--dataset=digits", "--seed=4")
    assert train_config("digits", seed=4) == flags_given


def test_presets_name_fields():
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    for preset in PRESETS.values():
        assert set(preset) <= names


@pytest.mark.parametrize(
    ("config_class", "name", "value"),
    [
        (TrainConfig, "batch_size", 0),
        (TrainConfig, "pretrain_epochs", 0),
        (TrainConfig, "finetune_epochs", -1),
        (TrainConfig, "pretrain_learning_rate", 0.0),
        (TrainConfig, "finetune_learning_rate", float("nan")),
        (EvaluateConfig, "batch_size", -5),
        (EvaluateConfig, "tpr", 1.0),
        (EvaluateConfig, "tpr", float("nan")),
        (ExportConfig, "batch_size", 0),
        (ExportConfig, "tpr", 0.0),
        (ExportConfig, "confidence", "0.9"),
        (EvaluateConfig, "batch_size", "250"),
        (EvaluateConfig, "tpr", True),
    ],
)
def test_numbers_out_of_range_are_named(config_class, name, value):
    with pytest.raises(ValueError, match=f"Expected {name} .*Received: {name}={value!r}"):
        config_class(**{name: value})


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


def test_a_pretrain_stage_has_no_part_of_a_fine_tune():
    stage = stage_config(train_config(), "pretrain")
    assert (stage.name, stage.objective, stage.init) == ("pretrain", "ce", None)
    assert stage.parameters == {}
    assert (stage.epochs, stage.learning_rate) == (100, 0.1)
    assert stage == stage_config(train_config(finetune_epochs=3, site="features"), "pretrain")


@pytest.mark.parametrize(
    ("values", "name", "weight"),
    [
        ({}, "finetune-sparsity-logits", 0.01),
        ({"site": "features"}, "finetune-sparsity-features", 0.02),
        ({"site": "features", "weight": 0.0}, "finetune-sparsity-features-weight0", 0.0),
        ({"objective": "ce"}, "finetune-ce", None),
    ],
)
def test_a_fine_tune_is_named_by_its_objective_and_has_the_sites_weight(values, name, weight):
    stage = stage_config(train_config(**values), "finetune", init="base")
    assert (stage.name, stage.parameters.get("weight"), stage.init) == (name, weight, "base")
    assert (stage.depth, stage.width, stage.dropout) == (None, None, None)
    assert (stage.epochs, stage.learning_rate) == (10, 0.001)


def test_each_stage_has_its_own_dropout():
    config = train_config(dropout=0.1, finetune_dropout=0.0)
    assert stage_config(config, "pretrain").dropout == 0.1
    assert stage_config(config, "finetune", init="base").dropout == 0.0


def test_run_and_init_are_refused_where_they_would_not_act(monkeypatch):
    with pytest.raises(ValueError, match="Expected --out for --stage=all"):
        planning.planned_runs(train_config(run="x"))
    for stage in ("all", "pretrain"):
        with pytest.raises(ValueError, match=f"with --stage=finetune only.*--stage={stage}"):
            planning.planned_runs(train_config(init="x", stage=stage))

