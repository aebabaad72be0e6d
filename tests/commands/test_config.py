import dataclasses

import pytest
from absl import flags

from kerasood.commands.common import spelled_for_absl
from kerasood.commands.flags import define_flags, from_flags
from kerasood.config import ConvertConfig, EvaluateConfig
from kerasood.errors import InvalidInputError
from kerasood.evaluation.measure import Settings
from kerasood.export import ExportConfig
from kerasood.export.config import OF_QUANTIZATION
from kerasood.training import planning
from kerasood.training.config import TrainConfig, stage_config, train_config
from kerasood.training.recipe import PRESETS

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
        quantised = config_class is ExportConfig and field.name in OF_QUANTIZATION
        beside = ("--quantization=int8",) if quantised else ()
        found = getattr(parsed(config_class, f"--{field.name}={given}", *beside), field.name)
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


@pytest.mark.parametrize("config_class", CONFIGS)
def test_an_empty_value_is_refused(config_class):
    for field in plain_fields(config_class):
        if field.default in (True, False) or field.metadata["choices"]:
            continue
        with pytest.raises((flags.IllegalFlagValueError, InvalidInputError), match=field.name):
            parsed(config_class, f"--{field.name}=")


@pytest.mark.parametrize("argument", ["--run=", "--run=a,", "--ood=,", "--model=", "--data_dir="])
def test_an_empty_value_is_answered_in_a_line(argument):
    with pytest.raises(InvalidInputError, match="Expected a value for --.*Received: an empty one"):
        parsed(EvaluateConfig, argument)


def test_a_list_given_twice_is_refused_and_not_cut():
    with pytest.raises(InvalidInputError, match="Expected --ood once.*Received: it 2 times"):
        parsed(EvaluateConfig, "--ood=svhn", "--ood=isun")
    assert parsed(EvaluateConfig, "--seed=2", "--seed=3").seed == 3


def test_a_preset_is_of_a_training_alone():
    assert parsed(EvaluateConfig, "--model=a.keras", "--dataset=digits").dataset == "digits"
    assert parsed(ExportConfig, "--model=a.keras", "--dataset=digits").batch_size is None


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
        (TrainConfig, "final_learning_rate", -1.0),
        (TrainConfig, "weight_decay", -1.0),
        (TrainConfig, "momentum", -1.0),
        (TrainConfig, "momentum", 1.5),
        (TrainConfig, "crop", -1),
        (TrainConfig, "seed", -1),
        (TrainConfig, "max_outliers", 0),
        (EvaluateConfig, "batch_size", -5),
        (EvaluateConfig, "tpr", 1.0),
        (EvaluateConfig, "tpr", float("nan")),
        (EvaluateConfig, "seed", -1),
        (Settings, "seed", -1),
        (Settings, "seed", None),
        (ExportConfig, "seed", -1),
        (ExportConfig, "evaluation_images", -5),
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ood=nonsense"], "no --ood with no --quantization.*Received: --ood=nonsense$"),
        (["--evaluation_images=9", "--ood=a,b"], "Received: --ood=a,b, --evaluation_images=9$"),
        (["--verify=x", "--tpr=0.5"], "no --tpr with --verify: .*Received: --tpr=0.5$"),
        (["--verify=x", "--run=nonsense", "--ood=a"], "Received: --run=nonsense, --ood=a$"),
    ],
)
def test_flags_of_an_export_that_would_not_act_are_refused(arguments, message):
    with pytest.raises(InvalidInputError, match=f"Expected .*{message}"):
        parsed(ExportConfig, *arguments)
    assert parsed(ExportConfig, "--ood=a", "--quantization=int8").ood == ("a",)
    assert parsed(ExportConfig, "--verify=x", "--ood=all", "--tpr=0.95").verify == "x"


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


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--stage=finetune --dropout=0.9", "Expected --finetune_dropout with --stage=finetune"),
        ("--stage=finetune --pretrain_epochs=7", "Expected --finetune_epochs"),
        ("--stage=finetune --pretrain_learning_rate=1", "Expected --finetune_learning_rate"),
        ("--stage=finetune --init=x --pretrain_objective=energy", "Expected --objective"),
        ("--stage=finetune --init=x --depth=28", "base of that size .*Received: --depth=28"),
        ("--stage=finetune --out=x --width=4", "base of that size .*Received: --width=4"),
        ("--stage=pretrain --objective=energy", "Expected --pretrain_objective"),
        ("--stage=pretrain --finetune_epochs=7", "Expected --pretrain_epochs"),
        ("--stage=pretrain --finetune_dropout=0", "Expected --dropout with --stage=pretrain"),
        ("--stage=pretrain --finetune_learning_rate=1", "Expected --pretrain_learning_rate"),
    ],
)
def test_flags_of_the_stage_that_is_not_trained_are_refused(arguments, expected):
    with pytest.raises(ValueError, match=f"{expected}.*which would not act"):
        parsed(TrainConfig, *arguments.split())


@pytest.mark.parametrize(
    "arguments",
    [
        "--stage=finetune --dataset=digits",
        "--stage=finetune --depth=10 --width=1 --pretrain_objective=logit_norm",
        "--stage=finetune --out=x --pretrain_objective=logit_norm",
        "--dropout=0 --finetune_dropout=0 --depth=10 --pretrain_epochs=1 --finetune_epochs=1",
    ],
)
def test_flags_that_train_or_name_the_base_act(arguments):
    assert parsed(TrainConfig, *arguments.split()).stage in arguments + "all"
