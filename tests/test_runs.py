import dataclasses
import importlib.metadata
import json
import os
import sys

import pytest

from kerasood import provenance
from kerasood.runs import Run, RunConflictError, newest_run
from kerasood.training.config import stage_config, train_config

STAGE = stage_config(train_config(), "pretrain")


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "runs" / "pretrain", STAGE)


def other(run, **changes):
    return Run(run.path, dataclasses.replace(STAGE, **changes))


def content_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_started_run_says_what_it_is_and_where_it_comes_from(run, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py", "--stage=pretrain"])
    run.start()
    stored = json.loads((run.path / "config.json").read_text())
    assert stored["config"] == dataclasses.asdict(STAGE)
    assert stored["command"] == provenance.command_line()
    assert stored["versions"]["keras"] == importlib.metadata.version("keras")
    assert stored["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert stored["commit"] == provenance.git_commit()
    assert Run.open(run.path) == run
    assert not run.complete


def test_a_fine_tune_goes_round(tmp_path):
    stage = stage_config(train_config(site="features"), "finetune", init="some/base")
    run = Run(tmp_path / "x", stage)
    run.start()
    assert Run.open(str(tmp_path / "x")) == run


def test_checking_changes_nothing(run):
    run.check()
    assert not run.path.parent.exists()


def test_a_run_that_was_killed_in_its_first_epoch_starts_again(run):
    run.start()
    before = content_of(run.path)
    run.start()
    run.start(resume=True)
    assert content_of(run.path) == before


@pytest.mark.parametrize("resume", [False, True])
def test_another_configuration_is_refused_with_both_values(run, resume):
    run.start()
    before = content_of(run.path)
    with pytest.raises(RunConflictError) as error:
        other(run, depth=16, learning_rate=0.3, dataset="digits").start(resume)
    message = str(error.value)
    assert str(run.path) in message and "--run" in message
    for part in (
        "depth=40 there, 16 now",
        "learning_rate=0.1 there, 0.3 now",
        "dataset='cifar10' there, 'digits' now",
    ):
        assert part in message
    assert message.count(" there") == 3 and "width" not in message
    assert content_of(run.path) == before


def test_an_unfinished_run_goes_on_only_with_resume(run):
    run.start()
    run.checkpoint.write_bytes(b"state")
    with pytest.raises(RunConflictError, match="unfinished run: continue it with --resume"):
        run.start()
    run.start(resume=True)
    assert run.checkpoint.read_bytes() == b"state"


def test_a_complete_run_is_left_as_it_is(run):
    run.start()
    run.checkpoint.write_bytes(b"state")
    run.model.write_bytes(b"model")
    assert run.complete
    run.check()
    with pytest.raises(RunConflictError, match="seed=1 there, 2 now"):
        other(run, seed=2).check()


def test_an_empty_directory_may_be_used(run):
    run.path.mkdir(parents=True)
    run.start()
    assert Run.open(run.path) == run


def test_a_directory_or_file_of_something_else_is_refused(run):
    run.path.mkdir(parents=True)
    (run.path / "thesis.tex").write_text("mine")
    for resume in (False, True):
        with pytest.raises(RunConflictError, match="new or empty run directory.*something else"):
            run.start(resume)
    assert content_of(run.path) == {"thesis.tex": b"mine"}
    with pytest.raises(RunConflictError, match="something else"):
        Run(run.path / "thesis.tex", STAGE).start()
    assert content_of(run.path) == {"thesis.tex": b"mine"}


def test_a_resume_of_nothing_starts(run):
    run.start(resume=True)
    assert Run.open(run.path) == run


def test_what_is_no_run_directory_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(ValueError, match=rf"config.json\). Received: {path}$"):
            Run.open(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"config": ', "Expected JSON in"),
        ("{}", "Received: 'config'"),
        ("[]", "Received: "),
        ('{"config": null}', "Received: "),
        ('{"config": {"stage": "pretrain"}}', "missing .* 'dataset'"),
        ('{"config": {"colour": "red"}}', "missing .* 'stage' and 'dataset'"),
    ],
)
def test_a_broken_configuration_is_named(run, text, reason):
    run.path.mkdir(parents=True)
    (run.path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=reason) as error:
        Run.open(run.path)
    assert str(run.path / "config.json") in str(error.value)
    with pytest.raises(ValueError, match=reason):
        run.start()


TUNED = stage_config(
    train_config(objective="energy", outliers="mine.npz"), "finetune", init="some/base"
)
IMAGES = {"training": {"count": 5, "sha256": "aa"}, "outliers": {"count": 9, "sha256": "bb"}}


def tuned(folder, **changes):
    return Run(folder / "tuned", dataclasses.replace(TUNED, **changes))


def test_parameters_beside_the_fields_are_the_objective_s(run):
    stored = dataclasses.asdict(TUNED)
    parameters = stored.pop("parameters")
    assert parameters == {"weight": 0.1}
    run.path.mkdir(parents=True)
    content = {"config": {**stored, **parameters, "site": None}}
    (run.path / "config.json").write_text(json.dumps(content))
    assert Run.open(run.path).config == TUNED


def test_a_fine_tune_whose_base_was_trained_again_is_refused(tmp_path):
    tuned(tmp_path, init_hash="abc").start()
    tuned(tmp_path, init_hash="abc").check()
    # Not yet known: the base is about to be trained.
    tuned(tmp_path).check()
    with pytest.raises(RunConflictError, match="from another model than some/base now holds"):
        tuned(tmp_path, init_hash="def").check(resume=True)
    with pytest.raises(RunConflictError, match="init_hash='abc' there, 'def' now"):
        tuned(tmp_path, init_hash="def", seed=5).check()


def test_derived_margins_are_taken_over_and_others_compared(tmp_path):
    assert tuned(tmp_path).with_derived() == tuned(tmp_path)
    margins = {"margin_in": -7.25, "margin_out": -2.5}
    tuned(tmp_path, derived=margins).start()
    again = tuned(tmp_path).with_derived()
    assert again.config.derived == margins
    assert again.config.objective_parameters == {**again.config.parameters, **margins}
    again.check()
    given = tuned(tmp_path, parameters={"weight": 0.1, "margin_in": -9.0, "margin_out": -2.5})
    with pytest.raises(RunConflictError, match="parameters=.* there, .*-9.0.* now"):
        given.with_derived().check()


def test_a_base_is_its_weights_and_not_its_path(tmp_path):
    tuned(tmp_path, init_hash="abc").start()
    tuned(tmp_path, init_hash="abc", init="moved/../base").check()
    with pytest.raises(RunConflictError, match="from another model"):
        tuned(tmp_path, init_hash="def", init="moved/base").check()


def test_a_run_records_its_images_and_goes_on_with_the_same_only(run):
    run.start(images=IMAGES)
    assert json.loads((run.path / "config.json").read_text())["images"] == IMAGES
    run.start(images=IMAGES)
    changed = {"training": {"count": 6, "sha256": "cc"}}
    with pytest.raises(RunConflictError, match="started on other images") as error:
        run.start(resume=True, images=changed)
    message = str(error.value)
    assert "outliers: 9 of sha256 bb there, none now" in message
    assert "training: 5 of sha256 aa there, 6 of sha256 cc now" in message


def test_the_newest_run_is_the_one_that_was_finished_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for age, name in ((3, "b"), (1, "a/deep"), (2, "c"), (None, "unfinished")):
        run = Run(tmp_path / "runs" / name, STAGE)
        run.start()
        if age is not None:
            run.model.write_bytes(b"")
            os.utime(run.model, (1000 - age, 1000 - age))
    assert newest_run().path.parts == ("runs", "a", "deep")
    assert newest_run("runs/b").path.name == "b"


def test_without_a_complete_run_the_way_to_one_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="No complete run under runs/: train one with"):
        newest_run()
    with pytest.raises(ValueError, match="No complete run under old/"):
        newest_run("old")
