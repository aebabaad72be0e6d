"""The ablation's recipes, what chooses among them, and what is trained after the choice."""


import keras
import numpy as np
import pytest
from tiny_data import write_npz

from experiments.gpu import ablation
from experiments.gpu.ablation import (
    Choice,
    ablation_units,
    beyond,
    choices,
    grid,
    ranking,
    recipe_name,
)
from experiments.gpu.measuring import (
    choosing_mean,
    choosing_sets,
    judged_mean,
    judged_sets,
    measure,
)
from experiments.gpu.setup import Setup
from experiments.gpu.units import finished
from kerasood.data import roles
from kerasood.files import write_json
from kerasood.training.config import stage_config

pytestmark = pytest.mark.slow

SETUP = Setup("/data", (1, 2), {"precision": "float32"}, 4, True)


def test_the_grid_is_every_combination_and_a_control_of_each_schedule():
    recipes = grid()
    assert len(recipes) == 2 * 5 * 2 * 2 * 2 + 2 * 2 * 2
    names = [recipe_name(recipe) for recipe in (*recipes, *beyond())]
    assert len(set(names)) == len(names)
    stages = {
        repr(stage_config(SETUP.train_config("cifar10", 1, **r), "finetune", "b"))
        for r in (*recipes, *beyond())
    }
    assert len(stages) == len(names)


def test_the_grid_begins_with_the_papers_own_schedule():
    first = [stage_config(SETUP.train_config("cifar10", 1, **r), "finetune", "b") for r in grid()]
    assert {(s.learning_rate, s.crop, s.dropout) for s in first[:11]} == {(0.001, 4, None)}
    assert {(s.learning_rate, s.crop, s.dropout) for s in first[-11:]} == {(0.01, 0, 0.0)}
    paper = [s.name for s in first[:11] if s.parameters.get("weight") in (None, 0.01)]
    assert paper == ["finetune-ce", "finetune-sparsity-logits",
                     "finetune-sparsity-features-weight0.01"]


def test_a_recipes_name_says_what_it_changes():
    assert recipe_name(grid()[0]) == "ce-learning_rate0.001-crop4"
    last = recipe_name(grid()[-1])
    assert last == "sparsity-features-weight0.1-learning_rate0.01-crop0-dropout0"


def test_no_set_both_chooses_and_judges():
    for dataset in ("cifar10", "cifar100"):
        names = roles.ood_names(dataset)
        judged, choosing = judged_sets(names), choosing_sets(names)
        assert judged == ("textures", "svhn", "places365", "lsun_crop", "lsun_resize", "isun")
        assert set(choosing) >= {"mnist", "tiny_imagenet_crop", "tiny_imagenet_resize", "photos"}
        assert not {*judged, "scenes_crop", "scenes_resize", "uniform_noise"} & set(choosing)
    assert judged_sets(("svhn", "scenes_resize", "mnist")) == ("svhn", "scenes_resize")


def result(choosing, accuracy, judged=0.5, detectors=("energy",)):
    """What a trial writes, its numbers to choose by all the same."""
    numbers = {
        "choosing": {"generated invert": choosing, "mnist": choosing},
        "paper": {"svhn": {"fpr95": judged}},
    }
    return {
        "choosing_accuracy": accuracy,
        "accuracy": accuracy,
        "detectors": {name: numbers for name in detectors},
    }


def test_generated_and_real_sets_choose_with_equal_weight():
    numbers = {"choosing": {"generated a": 0.2, "generated b": 0.4, "mnist": 0.9, "photos": 0.5}}
    assert choosing_mean(numbers) == pytest.approx((0.3 + 0.7) / 2)
    assert choosing_mean({"choosing": {"generated a": 0.2}}) == 0.2
    judged = {"paper": {name: {"fpr95": v} for name, v in (("svhn", 0.1), ("textures", 0.4),
                                                          ("mnist", 0.9))}}
    assert judged_mean(judged) == pytest.approx(0.25)


def test_the_choice_keeps_the_accuracy_and_looks_at_no_judge():
    results = {
        "base": result(0.5, 0.95, judged=0.9),
        "a": result(0.30, 0.9471, judged=0.8, detectors=("energy", "knn")),
        "b": result(0.31, 0.95, judged=0.1),
        "too inaccurate": result(0.1, 0.9469, judged=0.0),
        "diverged": {"diverged": "NaN"},
    }
    assert choices(results) == Choice({"chosen": "a"}, ("chosen", "energy"))
    better = {**results, "base": result(0.2, 0.95)}
    assert choices(better) == Choice({"chosen": "a"}, ("base", "energy"))
    none = {"base": result(0.2, 0.95), "a": result(0.1, 0.9)}
    assert choices(none) == Choice({}, ("base", "energy"))
    by_knn = {**results, "c": result(0.2, 0.95, detectors=("knn",))}
    assert choices(by_knn) == Choice({"chosen": "a", "paired": "c"}, ("paired", "knn"))
    assert [name for _, name, _ in ranking(results)] == ["a", "a", "b", "base"]


def test_the_choice_is_trained_on_all_seeds_once_every_recipe_was_tried(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = ablation_units(SETUP, "cifar10")
    assert {"cifar10-seed1-pretrain", "cifar10-seed1-base"} < {unit.name for unit in first}
    assert not any("seed2" in unit.name for unit in first)
    for unit in first[1:]:
        write_json(unit.files[0], result(0.5, 0.95))
    write_json(first[-1].files[0], result(0.4, 0.95))
    added = [unit for unit in ablation_units(SETUP, "cifar10") if "-chosen-" in unit.name]
    assert [unit.name for unit in added] == [
        f"cifar10-seed{seed}-chosen-{role}"
        for seed in (1, 2) for role in ("base", "control", "chosen")
    ]
    name = "logit_norm"
    model = f"runs/cifar10-seed2/ablation/{name}/model.keras"
    assert added[-1].settles == (model, "runs/cifar10-seed2/pretrain/model.keras")
    assert "cifar10-seed2-chosen-control" in added[-1].needs
    assert added[-1].settles[0] in added[-1].files
    assert finished(added) == set()


def test_a_recipe_that_diverges_is_a_result(tmp_path, monkeypatch):
    def diverge(config):
        raise ablation.TrainingDiverged("The loss became nan")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ablation, "train", diverge)
    unit = ablation_units(SETUP, "cifar10")[-1]
    unit.work()
    written = ablation.results_of("ablation", "cifar10", 1)
    assert written["logit_norm"]["diverged"] == "The loss became nan"


@pytest.mark.usefixtures("empty_places")
def test_measured_numbers_are_of_the_named_images(tmp_path):
    write_npz(tmp_path / "cifar10.npz", num_images=40, num_classes=2)
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3)).astype("uint8")
    for name in ("svhn", "mnist"):
        np.savez(tmp_path / f"{name}.npz", test_images=images)
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.Input((32, 32, 3), dtype="uint8"), keras.layers.Rescaling(1 / 255),
         keras.layers.AveragePooling2D(8), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    measured = measure(network, "cifar10", str(tmp_path), ("energy", "knn"))
    with np.load(tmp_path / "cifar10.npz") as stored:
        logits = np.asarray(network(stored["test_images"]))
        right = logits.argmax(axis=1) == stored["test_labels"]
    assert measured["accuracy"] == pytest.approx(right.mean())
    for numbers in measured["detectors"].values():
        assert numbers["full"]["svhn"] == numbers["full"]["mnist"]
        assert {"mnist", "generated jigsaw"} <= set(numbers["choosing"])
        assert "svhn" not in numbers["choosing"]
    energies = np.log(np.exp(logits).sum(axis=1))
    out = np.log(np.exp(np.asarray(network(images))).sum(axis=1))
    auroc = np.mean(energies[:, None] > out[None]) + 0.5 * np.mean(energies[:, None] == out[None])
    svhn = measured["detectors"]["energy"]["full"]["svhn"]
    assert svhn["auroc"] == pytest.approx(auroc, abs=1e-3)
