"""Several training seeds of one recipe: who belongs together, and the table over them."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from example_results import example
from report_checks import Balance, printed

from kerasood import reporting
from kerasood.evaluation.means import over_seeds, spread
from kerasood.evaluation.run_subjects import seed_groups
from kerasood.evaluation.subject import Subject
from kerasood.reporting.decision import comparison_sentences
from kerasood.reporting.findings import Findings
from kerasood.reporting.plots import roc_figure
from kerasood.runs import Run
from kerasood.training.config import stage_config, train_config

GROUPS = [
    {"label": "base", "models": ["base"], "seeds": [1]},
    {"label": "tuned", "models": ["logits", "features", "control"], "seeds": [1, 2, 3]},
]


def runs_of(folder, seeds=(1, 2), **values):
    """A pretrain and a fine-tune per seed, as their directories stand at the start."""
    runs = []
    for seed in seeds:
        config = train_config(seed=seed, **values)
        out = folder / f"wrn-seed{seed}"
        pretrain = Run(out / "pretrain", stage_config(config, "pretrain"))
        stage = stage_config(config, "finetune", init=str(pretrain.path))
        tuned = Run(out / stage.name, stage)
        for run in (pretrain, tuned):
            if not run.path.exists():
                run.start()
        runs.append(tuned)
    return runs


def rewrite(run, **values):
    """The run with other values in its stored configuration."""
    stored = json.loads((run.path / "config.json").read_text())
    stored["config"] = dataclasses.asdict(dataclasses.replace(run.config, **values))
    (run.path / "config.json").write_text(json.dumps(stored))
    return Run.open(run.path)


def subjects_of(runs):
    """Subjects as `compared_subjects` makes them, keyed by their place."""
    return [
        Subject(str(path.relative_to(run.path.parents[1])), kind, str(path), None, None)
        for run in runs
        for kind, path in (("base", run.initial_model), ("tuned", run.model))
    ]


def grouped(runs):
    return [(g["label"], g["seeds"]) for g in seed_groups(runs, subjects_of(runs))]


def test_runs_that_differ_in_the_seed_alone_are_one_group(tmp_path):
    assert grouped(runs_of(tmp_path)) == [("base", [1, 2]), ("tuned", [1, 2])]


def test_what_follows_from_the_seed_makes_no_other_recipe(tmp_path):
    values = {"objective": "energy", "holdout": 0.1}
    for run in runs_of(tmp_path, **values):
        seed = run.config.seed
        margins = {"margin_in": -9.0 - seed, "margin_out": -2.0 - seed}
        derived = {"init_hash": f"{seed}" * 64, "derived": margins}
        derived["holdout_seed"] = None if seed == 1 else 1
        rewrite(run, **derived)
    runs = [Run.open(run.path) for run in runs_of(tmp_path, **values)]
    assert len({(run.config.init_hash, run.config.derived["margin_in"]) for run in runs}) == 2
    assert grouped(runs) == [("base", [1, 2]), ("tuned", [1, 2])]
    # Margins that were given are part of the recipe.
    given = [
        rewrite(run, parameters={"margin_in": -9.0 - run.config.seed, "margin_out": -1.0})
        for run in runs
    ]
    assert grouped(given) == [("base", [1, 2]), ("tuned", [1]), ("tuned", [2])]


def test_runs_of_another_recipe_are_not(tmp_path):
    runs = [*runs_of(tmp_path), *runs_of(tmp_path, seeds=(3,), weight=0.5)]
    assert grouped(runs) == [("base", [1, 2, 3]), ("tuned", [1, 2]), ("tuned", [3])]


def test_runs_from_bases_of_other_recipes_are_not(tmp_path):
    runs = [*runs_of(tmp_path), *runs_of(tmp_path, seeds=(3,), depth=16)]
    assert grouped(runs) == [("base", [1, 2]), ("tuned", [1, 2]), ("base", [3]), ("tuned", [3])]


def test_bases_that_are_gone_are_told_by_their_names(tmp_path):
    runs = runs_of(tmp_path)
    for run in runs:
        shutil.rmtree(run.config.init)
    assert grouped(runs) == [("base", [1, 2]), ("tuned", [1, 2])]
    apart = [runs[0], rewrite(runs[1], init="elsewhere/model.keras")]
    assert grouped(apart) == [("base", [1]), ("tuned", [1]), ("base", [2]), ("tuned", [2])]


def test_spread_worked_by_hand():
    assert spread([0.1, 0.2, 0.6]) == {
        "mean": pytest.approx(0.3), "std": pytest.approx(np.sqrt((0.04 + 0.01 + 0.09) / 2))
    }
    assert spread([0.25]) == {"mean": 0.25, "std": None}


def test_over_seeds_gathers_accuracy_sets_and_means():
    results, _ = example(num_models=4)
    single, several = over_seeds(results, GROUPS)
    assert single["accuracy"] == {"mean": 0.912, "std": None}
    assert several["accuracy"]["mean"] == pytest.approx((0.908 + 0.914 + 0.913) / 3)
    findings = Findings(results)
    values = [
        findings.metric(key, "msp", "svhn")["fpr95"]["mean"] for key in GROUPS[1]["models"]
    ]
    entry = next(e for e in several["metrics"] if (e["detector"], e["set"]) == ("msp", "svhn"))
    assert entry["fpr95"] == {
        "mean": pytest.approx(np.mean(values)), "std": pytest.approx(np.std(values, ddof=1))
    }
    means = [findings.mean(key, "msp", "far")["auroc"] for key in GROUPS[1]["models"]]
    entry = next(e for e in several["means"] if (e["detector"], e["role"]) == ("msp", "far"))
    assert entry["auroc"]["std"] == pytest.approx(np.std(means, ddof=1))


def test_without_several_seeds_there_is_no_table():
    results, scores = example(num_models=2)
    results["seeds"] = over_seeds(results, [{"label": "x", "models": ["base"], "seeds": [1]}])
    assert results["seeds"] == []
    assert "training seeds" not in reporting.to_markdown(results)
    assert "training seeds" not in reporting.page(results, scores)


@pytest.mark.parametrize("protocol", ["full", "paper", "openood"])
def test_every_report_shows_means_over_seeds(protocol):
    results, scores = example(num_models=4, protocol=protocol)
    results["seeds"] = over_seeds(results, GROUPS)
    mean = next(
        entry for entry in results["seeds"][1]["means"]
        if (entry["detector"], entry["role"]) == ("energy", "far")
    )["fpr95"]
    shown = f"{100 * mean['mean']:.2f} ± {100 * mean['std']:.2f}"
    text = reporting.to_markdown(results)
    for words in ("FPR95 ↓ tuned, n = 3", f"| **{shown}** |", "| 91.20 | 91.17 ± 0.32 |",
                  "sample standard deviation"):
        assert words.replace("| 91.20 ", "| **91.20** ") in text
    page = reporting.page(results, scores)
    Balance(page)
    assert shown in re.sub("<[^>]*>", "", page) and "means over training seeds" in page
    assert shown in printed(results)


def test_every_fine_tune_is_compared_with_its_own_base():
    results, scores = example(num_models=4)
    keys = ("base", "logits", "features", "control")
    for model, base in zip(results["models"], (None, "base", None, "features"), strict=True):
        model["base"] = base
    for entry in results["means"]:
        if entry["detector"] == "energy" and entry["role"] == "far":
            entry["fpr95"] = dict(zip(keys, (0.5, 0.4, 0.9, 0.7), strict=True))[entry["model"]]
    findings = Findings(results)
    families = [[group.models for group in family] for family in findings.families]
    assert families == [[("base",), ("logits",)], [("features",), ("control",)]]
    lines = comparison_sentences(findings)
    assert "lowers this by 10.00 points to 40.00 %" in lines[1]
    assert "lowers this by 20.00 points to 70.00 %" in lines[3]
    assert reporting.page(results, scores).count("<h2>Before and after: energy") == 2
    assert len(_roc_lines(findings, scores, 1)) == 2


def test_changes_over_seeds_are_paired_with_the_own_base():
    results, _ = example(num_models=4)
    for model, base in zip(results["models"], (None, None, "base", "logits"), strict=True):
        model["base"] = base
    values = {"base": 0.5, "logits": 0.7, "features": 0.4, "control": 0.58}
    for entry in results["means"]:
        entry["fpr95"] = values[entry["model"]]
    results["seeds"] = over_seeds(results, [
        {"label": "base", "models": ["base", "logits"], "seeds": [1, 2]},
        {"label": "tuned", "models": ["features", "control"], "seeds": [1, 2]},
    ])
    # 50 to 40 and 70 to 58: 10 and 12 points, so 11 with a deviation of sqrt 2.
    sentence = comparison_sentences(Findings(results))[1]
    assert "tuned, n = 2 lowers this by 11.00 ± 1.41 points to 49.00 ± 12.73 %" in sentence


def _roc_lines(findings, scores, family):
    axes = roc_figure(findings, scores, findings.families[family]).axes[0]
    return [line for line in axes.lines if line.get_linewidth() == 1.7]
