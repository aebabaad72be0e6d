"""Bad input through the commands: one line that says what and how, exit status 1, nothing lost."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from tiny_data import contents, tiny_config, write_npz

from kerasood.commands.common import console, errors_as_lines, image_progress, show_log
from kerasood.commands.train import train
from kerasood.errors import InvalidInputError
from kerasood.logs import log

pytestmark = pytest.mark.usefixtures("empty_places")
ROOT = pathlib.Path(__file__).parents[2]


LABELS = np.arange(24) % 2
BAD_ARRAYS = {
    "channels first": ({"train_images": np.zeros((24, 3, 32, 32), np.uint8)}, "come last"),
    "no squares": ({"train_images": np.zeros((24, 28, 32, 3), np.uint8)}, "28x32 images"),
    "another side": ({"train_images": np.zeros((24, 30, 30, 3), np.uint8)}, "30x30 images"),
    "floats": ({"train_images": np.zeros((24, 32, 32, 3), np.float32)}, "dtype=float32"),
    "no images": ({"train_images": np.zeros((0, 32, 32, 3), np.uint8)}, "at least one image"),
    "too few labels": ({"train_labels": LABELS[:-1]}, "one integer label per image"),
    "negative labels": ({"train_labels": LABELS - 1}, "labels from -1 to 0"),
    "pickled labels": ({"train_labels": LABELS.astype(object)}, "never unpickled"),
}


@pytest.mark.parametrize(("changes", "received"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_arrays_that_are_no_images_or_labels(tmp_path, refused, changes, received):
    write_npz(tmp_path / "tiny.npz", **changes)
    line = refused(train, tiny_config(tmp_path))
    assert received in line and f"{tmp_path}/tiny.npz" in line
    assert not (tmp_path / "runs").exists()


def test_a_truncated_npz(tmp_path, refused):
    config = tiny_config(tmp_path)
    content = pathlib.Path(config.dataset).read_bytes()
    for kept in (0, 1000, len(content) - 1000):
        pathlib.Path(config.dataset).write_bytes(content[:kept])
        line = refused(train, config)
        assert "tiny.npz: not a readable npz (truncated download?)" in line
    assert not (tmp_path / "runs").exists()


def test_a_name_or_place_that_does_not_exist(tmp_path, refused):
    line = refused(train, tiny_config(tmp_path, dataset="cifar_10"))
    assert "Did you mean 'cifar10'? Received: 'cifar_10'" in line
    line = refused(train, tiny_config(tmp_path, dataset="cifar10"))
    assert "cifar10: not found in" in line and "allow the download" in line
    line = refused(train, tiny_config(tmp_path, dataset=str(tmp_path / "gone")))
    assert "Expected a path that exists" in line
    line = refused(train, tiny_config(tmp_path, data_dir=str(tmp_path / "gone")))
    assert "Expected a data directory that exists" in line
    assert not (tmp_path / "runs").exists()


def test_an_empty_folder(tmp_path, refused):
    (tmp_path / "photos").mkdir()
    folder = str(tmp_path / "photos")
    assert "expected image files" in refused(train, tiny_config(tmp_path, dataset=folder))


@pytest.mark.parametrize(
    ("values", "received"),
    [
        ({"depth": 13}, "depth=13"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"holdout": 1.0}, "holdout=1.0"),
    ],
)
def test_values_out_of_range(tmp_path, refused, values, received):
    assert f"Received: {received}" in refused(train, tiny_config(tmp_path, **values))
    assert not (tmp_path / "runs").exists()


def test_a_fine_tune_without_a_base_names_both_ways_to_one(tmp_path, refused):
    line = refused(train, tiny_config(tmp_path, stage="finetune"))
    assert f"No base model at {tmp_path}/runs/pretrain." in line
    assert "`python train.py --stage=pretrain`" in line and "--init=" in line
    line = refused(train, tiny_config(tmp_path, stage="finetune", init=str(tmp_path / "gone")))
    assert f"No base model at {tmp_path}/gone." in line


def test_a_base_of_other_classes(tmp_path, base, refused):
    write_npz(tmp_path / "tiny.npz", num_classes=3)
    line = refused(train, tiny_config(tmp_path, stage="finetune", init=str(base.path)))
    assert "to logits (None, 3). Received: (None, 32, 32, 3) to (None, 2) in" in line
    assert not (tmp_path / "runs").exists()


def test_a_truncated_base(tmp_path, base, refused):
    broken = tmp_path / "base.keras"
    for kept in (0, 100, -100):
        broken.write_bytes(base.model.read_bytes()[:kept])
        line = refused(train, tiny_config(tmp_path, stage="finetune", init=str(broken)))
        assert f"Expected a .keras or .h5 model in {broken}" in line


def test_a_base_that_saw_the_held_out_images(tmp_path, base, refused):
    values = {"stage": "finetune", "dataset": base.config.dataset, "holdout": 0.25}
    for init in (base.path, base.model):
        line = refused(train, tiny_config(tmp_path, init=str(init), **values))
        assert "never saw the images --holdout keeps out" in line
        assert f"Received: {init} (holdout=0.0 there, 0.25 now)" in line


def test_a_run_directory_of_another_configuration(tmp_path, base, refused):
    before = contents(base.path)
    values = {"run": str(base.path), "dataset": base.config.dataset}
    for resume in (False, True):
        line = refused(train, tiny_config(tmp_path, momentum=0.5, resume=resume, **values))
        assert "(momentum=0.9 there, 0.5 now)" in line
    assert contents(base.path) == before


def test_a_complete_run_is_not_trained_again(tmp_path, base, monkeypatch):
    before = contents(base.path)
    monkeypatch.setattr("kerasood.training.stages.TrainingImages", None)
    train(tiny_config(tmp_path, run=str(base.path), dataset=base.config.dataset))
    assert contents(base.path) == before


def test_an_output_that_cannot_be_written(tmp_path, refused):
    (tmp_path / "file").write_text("mine")
    target = str(tmp_path / "file" / "x")
    assert f"Cannot write {target}" in refused(train, tiny_config(tmp_path, out=target))
    assert (tmp_path / "file").read_text() == "mine"


def test_an_error_that_is_no_answer_to_the_user_ends_in_a_traceback(tmp_path):
    with pytest.raises(FileNotFoundError), errors_as_lines():
        (tmp_path / "gone.txt").read_text()


def test_an_error_in_several_lines_becomes_one(refused):
    def command(_):
        raise InvalidInputError("first\n  second [bold] third")

    assert refused(command, None) == "error: first second [bold] third\n"


def test_names_are_printed_as_they_are(capsys):
    name = "o/rep[v2][/x]:car:"
    console.print(name)
    console.rule(name)
    show_log()
    log.warning(name)
    with pytest.raises(SystemExit), errors_as_lines():
        raise InvalidInputError(name)
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count(name) == 4


def test_the_title_of_a_progress_is_shown_as_it_is(capsys, monkeypatch):
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setattr(console, "is_interactive", True)
    with image_progress() as progress:
        progress("mine[v2][/x]", 2)(1)
    assert "mine[v2][/x]" in capsys.readouterr().out


def start(folder, *command):
    # Other libraries in this process choose a level of native messages, which would be inherited.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_real_commands_end_with_one_line_and_status_1(tmp_path, base):
    write_npz(tmp_path / "tiny.npz")
    size = ("--depth=10", "--width=1", "--batch_size=16", "--pretrain_epochs=2")
    processes = {
        "No epoch was finished before. Try a smaller learning rate": start(
            tmp_path, ROOT / "train.py", "--stage=pretrain", "--dataset=tiny.npz", "--run=run",
            "--pretrain_learning_rate=1e30", *size,
        ),
        "Did you mean 'svhn'?": start(
            tmp_path, ROOT / "evaluate.py", "--ood=svnh", f"--run={base.path}"
        ),
    }
    help_text = start(tmp_path, ROOT / "train.py", "--help")
    for expected, process in processes.items():
        out, err = process.communicate(timeout=120)
        assert process.returncode == 1
        assert re.fullmatch(r"error: [^\n]+\n", err) and expected in err
        assert "Traceback" not in out
    out, _ = help_text.communicate(timeout=120)
    assert re.search("--pretrain_epochs=N +Epochs of the pretrain stage", out)
    assert "--logtostderr" not in out
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert "config.json" in left and not left & {"model.keras", "checkpoint.npz"}


def test_a_module_of_ones_own_adds_its_detector_and_speaks_on_the_console(tmp_path):
    (tmp_path / "my_module.py").write_text(
        "import kerasood\n"
        "from kerasood.logs import log\n\n\n"
        "@kerasood.detectors.register('mine')\n"
        "class Mine(kerasood.detectors.MSP):\n"
        "    pass\n\n\n"
        "log.warning('[speaks]')\n"
    )
    command = [sys.executable, str(ROOT / "evaluate.py"), "--run=gone"]
    given = ["--import=my_module", "--detectors=mine"]
    known = subprocess.run([*command, *given], cwd=tmp_path, capture_output=True, text=True)
    assert "error: " in known.stderr and "gone" in known.stderr
    assert "[speaks]" in known.stdout and "WARNING" not in known.stdout + known.stderr
    unknown = subprocess.run(
        [*command, "--import=my_modul"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "Expected a module that can be imported from here" in unknown.stderr
    assert unknown.returncode == 1
