"""`python -m experiments.gpu`: the benchmark job, what comes home, and the summary's numbers."""

import json
import os
import sys

import pytest
from paper_results import entry, results_of

from experiments.gpu import __main__ as gpu
from experiments.gpu.paper_jobs import FINE_TUNES, paper_units
from experiments.gpu.setup import Setup, SliceConfig, setup_of
from experiments.gpu.summary import summary
from experiments.gpu.units import finished
from kerasood.files import write_json, write_text
from kerasood.reporting.paper import compare
from kerasood.reporting.paper_numbers import SETS

pytestmark = pytest.mark.slow

STAND_IN = """
import sys
print("measured", *sys.argv[1:])
sys.exit("--precision=float32" in sys.argv)
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The current folder, left again afterwards, also by commands that go elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["experiments.gpu", "--work=/somewhere"])
    return tmp_path


def test_the_benchmark_is_run_from_the_checkout_and_its_output_comes_home(work):
    (work / "benchmarks").mkdir()
    (work / "benchmarks" / "__init__.py").touch()
    (work / "benchmarks" / "train.py").write_text(STAND_IN)
    config = SliceConfig(job="benchmark", work="w", out="home", rehearse=True)
    with pytest.raises(ValueError, match="without errors. Received: benchmark-float32"):
        gpu.main(config)
    printed = (work / "w" / "benchmark" / "mixed_bfloat16.txt").read_text()
    assert "$ python -m benchmarks.train --depth=10 --width=1" in printed
    assert "measured --depth=10" in printed
    assert not (work / "w" / "benchmark" / "float32.txt").exists()
    assert "exit status 1" in (work / "w" / "errors" / "benchmark-float32.txt").read_text()
    os.chdir(work)
    gpu.main(SliceConfig(job="summary", work="fresh", state=("home",), out="out"))
    assert (work / "fresh" / "benchmark" / "mixed_bfloat16.txt").read_text() == printed
    text = (work / "out" / "summary.md").read_text()
    command = " --job=benchmark --seeds=1,2,3 --precision=mixed_bfloat16 --rehearse"
    assert f"{command}`" in text
    assert "/somewhere" not in text


def test_a_job_without_images_is_refused_before_it_begins():
    with pytest.raises(ValueError, match="Expected --data=FOLDER"):
        setup_of(SliceConfig(job="cifar10"))


def test_a_seed_is_pretrained_then_fine_tuned_three_ways_and_evaluated():
    units = paper_units(Setup("/data", (1, 2), {"precision": "float32"}, 4, True), "cifar100")
    assert [unit.name for unit in units[:5]] == [
        f"cifar100-seed1-{name}" for name in ("pretrain", "finetune-logits", "finetune-features",
                                              "finetune-ce", "evaluate")
    ]
    base, logits, *_, evaluated = units[:5]
    assert logits.needs == (base.name,) and len(evaluated.needs) == 4
    assert base.files[-1] == "runs/cifar100-seed1/pretrain/model.keras"
    assert base.files[-1] in evaluated.settles and evaluated.drops == (
        "runs/cifar100-seed1/finetune-ce/model.keras",
    )
    # Bases are trained ahead, but no second seed is fine-tuned while one is not evaluated.
    assert units[5].name == "cifar100-seed2-pretrain" and units[5].needs == ()
    assert units[6].needs == ("cifar100-seed2-pretrain", evaluated.name)


def section(name, fpr95):
    """A section of the paper's suite: the base and a fine-tune, all metrics the same everywhere."""
    results = results_of([entry(one) for one in SETS], "cifar10")
    for metric in results["metrics"]:
        if metric["model"] == "tuned":
            metric["fpr95"] = {"mean": fpr95, "std": 0.0}
    return {**results, "run": f"runs/{name}", "comparison": compare(results)}


@pytest.fixture
def came_home(work):
    for seed, offset in ((1, 0.0), (2, 0.1)):
        folder = work / "evaluation" / f"cifar10-seed{seed}"
        sections = [
            section(directory, value + offset)
            for (directory, _), value in zip(FINE_TUNES.values(), (0.2, 0.1, 0.3), strict=True)
        ]
        write_json(folder / "paper" / "results.json", {"sections": sections})
        rounding = {name: {"accuracy": 0.95, "fpr95": value}
                    for name, value in (("float32", 0.2), ("float16", 0.201))}
        write_json(folder / "rounding.json", {"pretrain": rounding})


def test_the_summary_gives_mean_and_deviation_over_seeds_beside_the_paper(came_home):
    lines = summary().splitlines()
    mean = [line for line in lines if line.startswith("| Mean of the six sets")][0]
    cells = [cell.strip() for cell in mean.split("|")][2:-1]
    # Means of 20 and 30 %, 10 and 20 %, 30 and 40 %; deviation 10 / sqrt(2) points.
    assert cells[0] == "31.32" and cells[-1] == "16.30"
    assert cells[2:5] == ["35.00 ± 7.07", "25.00 ± 7.07", "15.00 ± 7.07"]
    assert "of its fine-tunes: 1. It was chosen" in summary()
    assert "| cifar10-seed2 pretrain | 95.00 -> 95.00 | 20.00 -> 20.10 |" in lines


def ablation_result(choosing, judged, accuracy=0.95):
    numbers = {
        "choosing": {"generated invert": choosing, "mnist": choosing},
        "paper": {"svhn": {"fpr95": judged, "auroc": 1 - judged}},
        "full": {"svhn": {"fpr95": judged, "auroc": 1 - judged}},
    }
    return {"recipe": {"site": "features", "weight": 0.1}, "seed": 1, "accuracy": accuracy,
            "choosing_accuracy": accuracy, "detectors": {"energy": numbers}}


def test_the_summary_sorts_recipes_by_what_chooses_and_shows_what_judges(work):
    results = {
        "base": ablation_result(0.5, 0.4),
        "best": ablation_result(0.2, 0.3),
        "inaccurate": ablation_result(0.1, 0.1, accuracy=0.9),
        "gone": {"diverged": "The loss became nan"},
    }
    for name, content in results.items():
        write_text(work / "ablation" / "cifar10-seed1" / f"{name}.json", json.dumps(content))
    for role, judged in (("base", 0.4), ("chosen", 0.25)):
        for seed in (1, 2):
            content = {**ablation_result(0.2, judged + 0.02 * seed), "seed": seed}
            path = work / "chosen" / f"cifar10-seed{seed}" / f"{role}.json"
            write_text(path, json.dumps(content))
    lines = summary().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| Recipe | Chooses by"))
    assert lines[start + 2 : start + 6] == [
        "| inaccurate | 10.00 | 10.00 | 90.00 | 90.00 | no |",
        "| best | 20.00 | 30.00 | 70.00 | 95.00 | yes |",
        "| base | 50.00 | 40.00 | 60.00 | 95.00 | yes |",
        "| gone | diverged | – | – | – | no |",
    ]
    assert "| chosen, energy | 1, 2 | 28.00 ± 1.41 | 72.00 ± 1.41 | 95.00 ± 0.00 |" in lines
    assert "| paper, over its own six sets: does not compare |  | 16.30 | 96.51 | 94.87 |" in lines
    assert "chosen = `best`; best pair: chosen with energy." in lines


def test_only_finished_units_come_home(came_home, work):
    units = paper_units(Setup("/data", (1,), {"precision": "float32"}, 4, True), "cifar10")
    for name in ("config.json", "history.csv", "model.keras"):
        write_text(work / "runs" / "cifar10-seed1" / "pretrain" / name, "{}")
    gpu.bring_home(units, work / "home")
    assert finished(units) == set() and not list((work / "home").iterdir())
