import pytest

from kerasood.training.config import stage_config, train_config


def fine_tune(**values):
    return stage_config(train_config(**values), "finetune", init="base")


@pytest.mark.parametrize(
    ("objective", "name", "weight", "outliers"),
    [
        ("ce", "finetune-ce", None, None),
        ("sparsity", "finetune-sparsity-logits", 0.01, None),
        ("energy", "finetune-energy", 0.1, "imagenet32"),
        ("outlier_exposure", "finetune-outlier_exposure", 0.5, "imagenet32"),
        ("logit_norm", "finetune-logit_norm", None, None),
    ],
)
def test_every_objective_has_its_name_weight_and_outliers(objective, name, weight, outliers):
    stage = fine_tune(objective=objective)
    assert (stage.name, stage.outliers) == (name, outliers)
    assert stage.parameters.get("weight") == weight
    assert (stage.epochs, stage.learning_rate, stage.batch_size) == (10, 0.001, 128)


def test_a_pretrain_stage_takes_nothing_of_it():
    config = train_config(objective="energy", outliers="mine", margin_in=-9.0, margin_out=-2.0)
    assert stage_config(config, "pretrain") == stage_config(train_config(), "pretrain")


@pytest.mark.parametrize(
    ("values", "margins"),
    [
        ({}, (None, None)),
        ({"margins": "auto"}, (None, None)),
        ({"margins": "reference"}, (-23.0, -5.0)),
        ({"margins": "reference", "dataset": "cifar100"}, (-27.0, -5.0)),
        ({"margin_in": -9.5, "margin_out": -2.0}, (-9.5, -2.0)),
    ],
)
def test_margins_are_derived_named_or_given(values, margins):
    stage = fine_tune(objective="energy", **values)
    assert tuple(map(stage.parameters.get, ("margin_in", "margin_out"))) == margins


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"margins": "reference", "dataset": "digits"}, "for cifar10 or cifar100.*=digits"),
        ({"margin_in": -9.0}, "both --margin_in and --margin_out.*margin_out=None"),
        ({"margins": "auto", "margin_in": -9.0, "margin_out": -2.0}, "margins=auto"),
        ({"margin_in": -2.0, "margin_out": -9.0}, "margin_in < margin_out. Received"),
        ({"outliers": "cifar10"}, "other than the in-distribution images.*--outliers=cifar10"),
    ],
)
def test_contradictions_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        fine_tune(objective="energy", **values)


@pytest.mark.parametrize(
    ("name", "value", "objective"),
    [
        ("weight", 0.1, "ce"),
        ("weight", 0.1, "logit_norm"),
        ("outliers", "mine", "sparsity"),
        ("max_outliers", 5, "ce"),
        ("margins", "auto", "outlier_exposure"),
        ("margin_in", -9.0, "sparsity"),
        ("margin_out", -9.0, "logit_norm"),
    ],
)
def test_flags_that_would_not_act_are_refused(name, value, objective):
    with pytest.raises(ValueError, match=f"Expected --{name} with .* --objective={objective}"):
        fine_tune(objective=objective, **{name: value})


def test_a_limit_of_no_outliers_is_refused():
    with pytest.raises(ValueError, match="Expected max_outliers >= 1, .* Received: max_outliers=0"):
        train_config(objective="energy", max_outliers=0)
