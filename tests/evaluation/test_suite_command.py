"""`evaluate.py --suite=paper` on two made-up data sets under the names of the paper's."""

import copy
import dataclasses
import json
import re

import numpy as np
import pytest
from paper_world import config_of, made_up_run

from kerasood.benchmarking import paper_suite as suite_command
from kerasood.commands.evaluate import evaluate
from kerasood.reporting import paper_numbers
from kerasood.reporting.findings import percent

FIGURES = ("fpr95", "accuracy", "roc", "energy", "energy-by-set")


@pytest.fixture(scope="module")
def measured(world, tmp_path_factory):
    """(results, folder, scores by section) of the suite over both data sets."""
    folder = tmp_path_factory.mktemp("report")
    kept, section = [], suite_command._section

    def keeping(*arguments):
        results, scores = section(*arguments)
        kept.append(scores)
        return results, scores

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite_command, "_section", keeping)
        results, page = evaluate(config_of(world, folder))
    assert page == folder / "paper.html"
    return results, folder, kept


def test_everything_is_written(measured):
    results, folder, _ = measured
    figures = {f"{name}-{stem}.png" for name in paper_numbers.DATASETS for stem in FIGURES}
    assert {path.name for path in folder.iterdir()} == {
        "paper.md", "paper.tex", "paper.html", "results.json", *figures
    }
    assert json.loads((folder / "results.json").read_text()) == results
    page = (folder / "paper.html").read_text()
    assert page.count("<svg") == 2 * len(FIGURES) and "<img" not in page
    for name in figures:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert f"![CIFAR-10: FPR95 before and after, measured and paper](cifar10-{FIGURES[0]}.png)" in (
        folder / "paper.md"
    ).read_text()


def test_runs_that_stand_alone_are_no_means_over_seeds(measured):
    text = (measured[1] / "paper.md").read_text()
    for title in ("CIFAR-10", "CIFAR-100"):
        assert f"> {title}: + sparsity (logits) takes the FPR95" in text
        assert f"## {title}: + sparsity (logits), seed 1\n" in text
    assert text.count("### Table 1: before and after, energy\n") == 2
    assert "over seeds" not in text and not re.search(r"mean over \d+ seeds", text)


def test_the_tables_print_what_the_results_hold(measured):
    results, folder, _ = measured
    text = (folder / "paper.md").read_text()
    page = re.sub(r"<[^>]*>", " ", (folder / "paper.html").read_text())
    for section in results["sections"]:
        for row in section["comparison"]["table1"]:
            for model in row["models"] if row["used"] else ():
                for metric in paper_numbers.METRICS:
                    number = model["measured"][metric]
                    mean, std = percent(number["mean"]), percent(number["std"])
                    assert f"| {mean} ± {std} |" in text
                    assert re.search(rf"{mean} +± {std}", page)
        for row in section["comparison"]["table2"]:
            assert f"| {percent(row['measured']['auroc'])} | " in text


def test_differences_and_means_are_those_of_the_sets_at_hand(measured):
    for section in measured[0]["sections"]:
        comparison = section["comparison"]
        dataset = section["dataset"]["name"]
        assert comparison["mean"]["sets"] == ["textures", "svhn"]
        energies = {
            (m["model"], m["set"]): m for m in section["metrics"] if m["detector"] == "energy"
        }
        keys = [model["key"] for model in section["models"]]
        assert len(keys) == 2
        for tuned, key in enumerate(keys):
            ours = [energies[key, name]["auroc"]["mean"] for name in ("textures", "svhn")]
            theirs = [
                paper_numbers.on_set(dataset, tuned, name)["auroc"]["mean"]
                for name in ("textures", "svhn")
            ]
            mean = comparison["mean"]["models"][tuned]
            assert mean["measured"]["auroc"] == pytest.approx(np.mean(ours), abs=1e-12)
            assert mean["paper"]["auroc"] == pytest.approx(np.mean(theirs), abs=1e-12)
            assert mean["difference"]["auroc"] == pytest.approx(
                np.mean(ours) - np.mean(theirs), abs=1e-12
            )
            row = comparison["table1"][1]["models"][tuned]
            assert row["difference"]["auroc"] == pytest.approx(ours[1] - theirs[1], abs=1e-12)


def test_the_detectors_are_measured_on_the_base_and_ours_on_the_fine_tune(measured):
    for section in measured[0]["sections"]:
        base, tuned = (model["key"] for model in section["models"])
        pairs = {(m["model"], m["detector"]) for m in section["metrics"]}
        names = ("msp", "odin", "mahalanobis", "energy")
        assert pairs == {*((base, name) for name in names), (tuned, "energy")}
        table2 = section["comparison"]["table2"]
        assert [row["method"] for row in table2] == [*names, "ours"]
        assert [row["paper_sets"] for row in table2] == [6, 6, 6, 2, 2]
        assert all(row["difference"] is None for row in table2[:3])
        assert table2[4]["measured"] == section["comparison"]["mean"]["models"][1]["measured"]
        assert section["protocol"]["name"] == "paper"


def test_every_set_is_called_what_it_is(measured):
    results, folder, _ = measured
    statuses = {
        entry["name"]: entry["status"] for entry in results["sections"][0]["comparison"]["sets"]
    }
    assert statuses == {
        "textures": "partial",
        "svhn": "partial",
        "places365": "missing",
        "lsun_crop": "stand-in",
        "lsun_resize": "missing",
        "isun": "missing",
    }
    for text in ((folder / "paper.md").read_text(), (folder / "paper.html").read_text()):
        assert "partial: 30 of 26,032 images" in text
        assert "iSUN (missing)" in text and "29.93" in text
        assert "stand-in: 30 images of Scenes-Crop" in text
        assert "Scenes-Crop (for LSUN-Crop)" in text
        assert "Mean of 2 of six sets (Textures, SVHN)" in text
        assert "LSUN_resize.tar.gz" in text and "iSUN.tar.gz" in text
        assert "Test images: 40 of 10,000 images. " in text
        assert "WRN-10-1, epochs of pretraining: 100, epochs of fine-tuning: 10, seed 1" in text
        assert "98.81" in text
    stand_in = next(
        row for row in results["sections"][0]["comparison"]["table1"] if row["set"] == "lsun_crop"
    )
    assert stand_in["used"] == "scenes_crop"
    assert all(model["difference"] is None for model in stand_in["models"])


def test_a_stand_in_enters_no_mean(measured):
    for section in measured[0]["sections"]:
        roles = {entry["name"]: entry["role"] for entry in section["sets"]}
        assert roles == {"textures": "far", "svhn": "far", "scenes_crop": "other"}
        fpr95 = {
            entry["set"]: entry["fpr95"]["mean"]
            for entry in section["metrics"]
            if (entry["model"], entry["detector"]) == ("tuned", "energy")
        }
        [mean] = [
            entry
            for entry in section["means"]
            if (entry["model"], entry["detector"], entry["role"]) == ("tuned", "energy", "far")
        ]
        assert mean["num_sets"] == 2
        assert mean["fpr95"] == pytest.approx((fpr95["textures"] + fpr95["svhn"]) / 2, abs=1e-12)
        with_stand_in = np.mean(list(fpr95.values()))
        assert len(fpr95) == 3 and abs(with_stand_in - mean["fpr95"]) > 1e-3


def test_one_data_set_alone_names_the_other(world, measured, tmp_path, capsys, monkeypatch):
    results, scores = measured[0]["sections"][1], measured[2][1]
    monkeypatch.setattr(suite_command, "_section", lambda *_: (results, scores))
    runs = [world[1]["cifar100"]]
    results, _ = evaluate(config_of(world, tmp_path, runs, seed=5))
    assert [section["dataset"]["name"] for section in results["sections"]] == ["cifar100"]
    command = "python train.py --stage=all --dataset=cifar10"
    assert command in results["not_measured"][0]["how_to_get"]
    assert command in (tmp_path / "paper.md").read_text()
    assert command in (tmp_path / "paper.html").read_text()
    printed = " ".join(capsys.readouterr().out.split())
    assert "Table 1" in printed and "Mahalanobis" in printed and command in printed
    assert results["seed"] == 5


def shifted(section, run, shift):
    """A section as another seed would give it: every number of the energy moved."""
    other = copy.deepcopy(section)
    other |= {"run": str(run.path), "base": "another"}
    for metric in other["metrics"]:
        for name in paper_numbers.METRICS:
            metric[name]["mean"] += shift
    for model in other["models"]:
        model["seed"] = run.config.seed
        model["accuracy"] += shift
    return other


def test_seeds_of_one_recipe_are_averaged_too(world, measured, tmp_path, capsys, monkeypatch):
    section, scores = measured[0]["sections"][0], measured[2][0]
    runs = [world[1]["cifar10"], made_up_run(tmp_path / "seed2" / "cifar10", seed=2)]
    given = iter([(section, scores), (shifted(section, runs[1], 0.02), scores)])
    monkeypatch.setattr(suite_command, "_section", lambda *_: next(given))
    results, page = evaluate(config_of(world, tmp_path / "out", runs))
    assert [entry["run"] for entry in results["sections"]] == [str(run.path) for run in runs]
    (together,) = results["averaged"]
    assert together["seeds"] == [1, 2]
    first, second = (entry["comparison"] for entry in results["sections"])
    before, after = together["comparison"]["mean"]["models"]
    expected = first["mean"]["models"][1]["measured"]["fpr95"] + 0.01
    # Half of 0.02, and 0.02 / sqrt 2.
    assert after["measured"]["fpr95"] == pytest.approx({"mean": expected, "std": 0.0141421}, 1e-4)
    markdown = page.with_name("paper.md").read_text()
    shown = f"{percent(expected)} ± 1.41"
    assert markdown.count("### Table 1: before and after") == 3 and f"| {shown} |" in markdown
    assert "CIFAR-10, mean over 2 seeds (1, 2): + sparsity (logits) takes" in markdown
    assert f"to {shown} % (the paper" in markdown
    assert re.sub(r"<[^>]*>", "", page.read_text()).count("mean over 2 seeds (1, 2)") == 2
    assert "mean over 2 seeds (1, 2)" in " ".join(capsys.readouterr().out.split())
    assert (page.parent / "cifar10-2-roc.png").exists()


def test_the_suite_goes_on_without_the_test_images_of_one_data_set(
    world, measured, tmp_path, caplog, monkeypatch
):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("cifar10", "textures", "svhn"):
        (data / f"{name}.npz").symlink_to(world[0] / f"{name}.npz")
    section = measured[0]["sections"][0], measured[2][0]
    monkeypatch.setattr(suite_command, "_section", lambda *_: section)
    config = dataclasses.replace(config_of(world, tmp_path / "out"), data_dir=str(data))
    results, page = evaluate(config)
    assert [entry["dataset"]["name"] for entry in results["sections"]] == ["cifar10"]
    (lacking,) = results["not_measured"]
    assert (lacking["dataset"], lacking["lack"]) == ("cifar100", "no test images")
    assert f"cifar100: not found in {data}" in lacking["how_to_get"]
    assert "cifar100: no test images: cifar100: not found" in caplog.text
    for text in (page.read_text(), page.with_name("paper.md").read_text()):
        assert "No test images: cifar100: not found in" in text
    assert "cifar100 was not measured" in re.sub("<[^>]*>", "", page.read_text())
