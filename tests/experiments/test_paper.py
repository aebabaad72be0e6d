"""The paper's trainings, and the choice among recipes, on tiny images."""

import dataclasses

import numpy as np
import pytest
from tiny_data import write_npz
from tiny_models import small_network

from experiments import recipes
from experiments.paper import main, trainings
from experiments.recipes import RECIPES, FeatureNorm, RecipesConfig, compared, fine_tuned
from kerasood.networks.saving import load_network
from kerasood.runs import complete_runs
from kerasood.training import OBJECTIVES, train, train_config
from kerasood.training.config import stage_config

pytestmark = pytest.mark.slow
SIZES = {
    "depth": 10, "width": 1, "dropout": 0.0, "batch_size": 16, "pretrain_epochs": 2,
    "finetune_epochs": 1, "precision": "float32",
}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The recipes' own objective, for a test: elsewhere no flag belongs to it."""
    monkeypatch.setitem(OBJECTIVES, FeatureNorm.objective, FeatureNorm)


@pytest.fixture
def images(tmp_path):
    return str(write_npz(tmp_path / "tiny.npz", num_images=120))


def test_every_seed_has_the_papers_two_sites_and_the_control():
    planned = [
        (each.seeds, stage_config(each, "finetune", "b").label)
        for each in trainings(train_config(seeds=(1, 2)))
    ]
    assert planned == [
        ((seed,), label)
        for seed in (1, 2)
        for label in (
            "+ sparsity (features)", "+ ce", "+ sparsity (logits)",
            "+ sparsity (features, weight 0.08)",
        )
    ]


def test_a_base_of_ones_own_is_only_fine_tuned():
    assert {each.stage for each in trainings(train_config(init="base.keras"))} == {"finetune"}


def test_what_is_trained_is_not_trained_again(images, tmp_path):
    config = train_config(images, seeds=(3,), out=str(tmp_path / "runs"), **SIZES)
    main(config)
    runs = {run.path.name: run.model.stat().st_mtime_ns for run in complete_runs(tmp_path)}
    assert len(runs) == 5 and {run.config.seed for run in complete_runs(tmp_path)} == {3}
    main(config)
    again = {run.path.name: run.model.stat().st_mtime_ns for run in complete_runs(tmp_path)}
    assert again == runs


def test_recipes_differ_and_are_ranked_by_what_chooses(images, tmp_path, monkeypatch):
    stages = {
        repr(stage_config(train_config("cifar10", **{"site": "features", **recipe})
                          if "objective" not in recipe else train_config("cifar10", **recipe),
                          "finetune", "b"))
        for recipe in RECIPES.values()
    }
    assert len(stages) == len(RECIPES)
    (base,) = train(train_config(images, stage="pretrain", out=str(tmp_path / "runs"), **SIZES))
    monkeypatch.setitem(RECIPES, "ce", {**RECIPES["ce"], "finetune_epochs": 1, "batch_size": 16})
    monkeypatch.setattr(recipes, "DETECTORS", ("energy", "msp"))
    config = RecipesConfig(init=str(base.path), out=str(tmp_path / "recipes"), download=False)
    tuned = fine_tuned("ce", base, config)
    assert tuned.complete and tuned.config.objective == "ce"
    networks = {"base": load_network(base.model), "ce": load_network(tuned.model)}
    rows = compared(networks, images, dataclasses.replace(config, data_dir=str(tmp_path)))
    assert sorted((row[0], row[1]) for row in rows) == [
        (network, detector) for network in ("base", "ce") for detector in ("energy", "msp")
    ]
    allowed = [row for row in rows if row[-1] == "yes"]
    assert rows[: len(allowed)] == allowed and {row[0] for row in allowed} >= {"base"}
    values = np.array([[float(cell) for cell in row[2:6]] for row in allowed])
    assert (np.diff(values[:, 0]) >= 0).all() and ((values >= 0) & (values <= 100)).all()


# Lengths 5 and 1, L1 norms 7 and 1.
@pytest.mark.parametrize(("norm", "expected"), [("length", 0.1 * 3), ("ratio", 0.1 * 1.2)])
def test_other_norms_of_features(norm, expected):
    trainer = FeatureNorm(small_network(), norm=norm)
    penalty = trainer.penalty({"features": np.float32([[3, 4], [0, 1]])})
    np.testing.assert_allclose(float(penalty), expected, rtol=1e-3)


def test_a_recipe_that_diverges_is_left_out(images, tmp_path, monkeypatch, capsys):
    (base,) = train(train_config(images, stage="pretrain", out=str(tmp_path / "runs"), **SIZES))
    small = {"finetune_epochs": 1, "batch_size": 16}
    monkeypatch.setattr(recipes, "RECIPES", {
        "ce": {"objective": "ce", **small},
        "wild": {"objective": "ce", "finetune_learning_rate": 1e30, **small},
    })

    def rows_of(networks, *_):
        return [[name, *"abcdef"] for name in networks]

    monkeypatch.setattr(recipes, "compared", rows_of)
    recipes.main(RecipesConfig(init=str(base.path), out=str(tmp_path / "out"), download=False))
    written = (tmp_path / "out" / "table.md").read_text()
    assert "| ce |" in written and "wild" not in written
    assert "wild: The" in capsys.readouterr().out
