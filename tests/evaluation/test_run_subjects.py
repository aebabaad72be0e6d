import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from kerasood.commands.evaluate import evaluate
from kerasood.config import EvaluateConfig
from kerasood.data.options import DataOptions
from kerasood.data.splits import calibration_source, training_source
from kerasood.evaluation.run_subjects import compared_subjects, seed_groups
from kerasood.networks.saving import load_network, save_network
from kerasood.runs import Run

OPTIONS = DataOptions(download=False)


def copied(base, folder, stage="finetune", shift=0.0):
    """A copy of the run, as a fine-tune of it whose head is moved by `shift`."""
    shutil.copytree(base.path, folder)
    stored = json.loads((folder / "config.json").read_text())
    changed = {"stage": stage, "init": str(base.path)}
    config = dataclasses.replace(base.config, **changed)
    stored["config"] = dataclasses.asdict(config)
    (folder / "config.json").write_text(json.dumps(stored))
    network = load_network(base.model)
    shutil.copy(base.model, folder / "initial.keras")
    *others, bias = network.get_weights()
    network.set_weights([*others, bias + shift * np.arange(len(bias), dtype="float32")])
    save_network(network, folder / "model.keras")
    return Run.open(folder)


@pytest.fixture
def three_runs(base, tmp_path):
    places = [tmp_path / name / "x" / "finetune" for name in "abc"]
    return [copied(base, place, shift=i + 1.0) for i, place in enumerate(places)]


def test_a_base_that_runs_share_is_evaluated_once(three_runs):
    subjects, final_keys = compared_subjects(three_runs, OPTIONS)
    keys = [subject.key for subject in subjects]
    assert keys == ["base", "finetune", "finetune:x", "finetune:2"]
    assert [subject.base for subject in subjects] == [None, "base", "base", "base"]
    assert list(final_keys.values()) == keys[1:]
    assert seed_groups(three_runs, subjects) == [
        {"label": "base", "models": ["base"], "seeds": [1]},
        {"label": "+ ce", "models": keys[1:], "seeds": [1, 1, 1]},
    ]
    labels = [subject.label for subject in subjects]
    assert labels == ["base", "+ ce", "+ ce x", "+ ce 2"]


def test_outputs_of_a_base_are_kept_where_all_its_fine_tunes_find_them(three_runs, base, tmp_path):
    first, *_ = three_runs
    for run in three_runs:
        (of_base, tuned), _ = compared_subjects([run], OPTIONS)
        assert (of_base.cache, tuned.cache) == (base.outputs, run.outputs)
    gone = dataclasses.replace(first.config, init=str(tmp_path / "moved"))
    (of_base, _), _ = compared_subjects([Run(first.path, gone)], OPTIONS)
    assert of_base.cache == first.outputs
    subjects, _ = compared_subjects(three_runs, OPTIONS, cache=False)
    assert {subject.cache for subject in subjects} == {None}


def test_a_fine_tune_that_changed_nothing_is_its_base(base, tmp_path):
    run = copied(base, tmp_path / "same", shift=0.0)
    subjects, final_keys = compared_subjects([run], OPTIONS)
    assert [subject.key for subject in subjects] == ["base"]
    assert final_keys == {run.path: "base"}


def test_models_know_the_seed_of_their_own_training(base, tmp_path):
    run = copied(base, tmp_path / "tuned", shift=1.0)
    assert base.config.seed == 1
    other = Run(run.path, dataclasses.replace(run.config, seed=7))
    subjects, _ = compared_subjects([other], OPTIONS)
    assert [(subject.key, subject.seed) for subject in subjects] == [
        ("base", 1), ("tuned", 7)
    ]


def test_thresholds_of_other_detectors_are_kept(base, tmp_path):
    run = copied(base, tmp_path / "run", stage="pretrain")
    for detector in ("msp", "energy"):
        evaluate(EvaluateConfig(run=(str(run.path),), ood=("blobs",), detectors=(detector,)))
    stored = json.loads(run.thresholds.read_text())
    assert set(stored) == {"msp", "energy"}
    assert stored["msp"]["threshold"]["value"] != stored["energy"]["threshold"]["value"]


def test_a_folder_that_is_divided_otherwise_than_in_training_is_refused(base, tmp_path, caplog):
    generator = np.random.default_rng(0)
    folder = tmp_path / "photos"
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for number in range(60):
            pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    run = copied(base, tmp_path / "run")
    config = dataclasses.replace(run.config, dataset=str(folder), init=None)
    images = {
        "training": training_source(config, OPTIONS).digest(),
        "validation": calibration_source(config, OPTIONS).digest(),
    }
    stored = {"config": dataclasses.asdict(config), "images": images}
    (run.path / "config.json").write_text(json.dumps(stored))
    run = Run.open(run.path)
    compared_subjects([run], OPTIONS)
    assert "not quite" not in caplog.text
    Image.new("RGB", (32, 32)).save(folder / "b" / "3.png")
    compared_subjects([run], OPTIONS)
    assert "not quite the images" in caplog.text and "training: 96 of sha256" in caplog.text
    (folder / "a" / "0.png").unlink()
    with pytest.raises(ValueError, match="divided by their number: .*Received: others"):
        compared_subjects([run], OPTIONS)
