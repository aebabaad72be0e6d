"""Runs and sets that the paper's suite takes or refuses."""

import dataclasses

import pytest
from paper_world import config_of, made_up_run

from kerasood.benchmarking import paper_suite as suite_command
from kerasood.commands.evaluate import evaluate
from kerasood.config import EvaluateConfig
from kerasood.runs import Run


def test_no_test_images_at_all_are_an_error(world, tmp_path, refused):
    config = dataclasses.replace(config_of(world, tmp_path / "out"), data_dir=str(tmp_path))
    line = refused(evaluate, config)
    assert "Expected the test images of a data set with runs. Received: none at hand" in line
    assert "cifar10: not found" in line and "cifar100: not found" in line


@pytest.mark.parametrize(
    ("values", "received"),
    [
        ({"protocol": "full"}, "--protocol=full"),
        ({"ood": ("svhn", "isun")}, "--ood=svhn,isun"),
        ({"detectors": ("msp",)}, "--detectors=msp"),
    ],
)
def test_flags_that_contradict_the_suite_are_refused(world, tmp_path, refused, values, received):
    line = refused(evaluate, config_of(world, tmp_path / "new", **values))
    assert f"Received: {received}" in line
    assert not (tmp_path / "new").exists()


def test_runs_that_the_paper_has_no_numbers_for_are_refused(world, tmp_path, base, refused):
    line = refused(evaluate, config_of(world, tmp_path, [base]))
    assert "Expected runs on cifar10 or cifar100" in line
    pretrain = Run.open(next(iter(world[1].values())).path.parent / "pretrain")
    line = refused(evaluate, config_of(world, tmp_path, [pretrain]))
    assert "Expected a fine-tune that keeps the model it started from" in line


def test_no_set_of_the_paper_is_an_error(world, tmp_path, refused):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("cifar10", "cifar100", "scenes_crop"):
        (data / f"{name}.npz").symlink_to(world[0] / f"{name}.npz")
    config = dataclasses.replace(config_of(world, tmp_path / "out"), data_dir=str(data))
    assert "at least one of the paper's OOD sets" in refused(evaluate, config)



def test_the_newest_fine_tunes_are_found(world, tmp_path, monkeypatch):
    _, runs = world
    found = suite_command._newest_fine_tunes(next(iter(runs.values())).path.parent.parent)
    assert [run.path for run in found] == [run.path for run in runs.values()]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="No complete sparsity fine-tune.*--dataset=cifar10"):
        evaluate(EvaluateConfig(suite="paper"))


def test_two_seeds_by_the_protocol_of_openood(world, tmp_path):
    data, runs = world
    runs = (runs["cifar10"], made_up_run(tmp_path / "seed2" / "cifar10", seed=2))
    results, page = evaluate(
        EvaluateConfig(
            run=tuple(str(run.path) for run in runs),
            protocol="openood",
            detectors=("energy",),
            data_dir=str(data),
            download=False,
            out=str(tmp_path / "report"),
        )
    )
    roles = {entry["name"]: entry["role"] for entry in results["sets"]}
    assert roles == {"cifar100": "near", "svhn": "far", "textures": "far"}
    assert {e["name"] for e in results["missing"]} == {"tiny_imagenet_resize", "mnist", "places365"}
    assert [group["seeds"] for group in results["seeds"]] == [[1, 2], [1, 2]]
    text = page.with_name("report.md").read_text()
    assert "Over training seeds" in text and "n = 2" in text
    assert "OOD set (OOD positive)" in text and "AUPR-out" in text
    assert "30 of 26,032 images" in text
    for facts in results["images"]["base"].values():
        assert facts["sha256"][:12] in text


def test_runs_of_several_recipes_are_not_averaged(world, tmp_path):
    first, second = world[1]["cifar10"], made_up_run(tmp_path / "cifar10", seed=2)
    config = dataclasses.replace(second.config, parameters={"weight": 0.5})
    other = dataclasses.replace(second, config=config)
    assert suite_command._of_one_recipe([first, world[1]["cifar100"], second]) == [[0, 2]]
    assert suite_command._of_one_recipe([first, other]) == []
