"""A job as on a lent GPU: killed in the middle, gone on with, and taken up on a bare machine."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("jax")
ROOT = pathlib.Path(__file__).parents[2]
WITHOUT_TENSORFLOW = 'import sys\nsys.modules["tensorflow"] = None\n'


@pytest.fixture
def begin(tmp_path):
    """Starts `python -m experiments.gpu` where TensorFlow cannot be imported."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(WITHOUT_TENSORFLOW)
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "PYTHONPATH": f"{tmp_path / 'hidden'}{os.pathsep}{ROOT}",
    }

    def start(machine, *flags):
        folder = tmp_path / machine
        return subprocess.Popen(
            [sys.executable, "-u", "-m", "experiments.gpu", "--rehearse", "--seeds=1",
             f"--work={folder / 'work'}", f"--out={folder / 'home'}", *flags],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )

    return start


def finished(process):
    """What a command printed that ended well."""
    printed, _ = process.communicate(timeout=900)
    assert process.returncode == 0, printed
    return printed


def states(printed):
    """{unit: state} of the last lines."""
    lines = [line.rpartition(": ") for line in printed.splitlines() if ": " in line]
    return {name: state for name, _, state in lines if name.startswith("cifar10-seed1-")}


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_a_job_outlives_a_kill_and_the_loss_of_its_machine(begin, tmp_path):
    process = begin("first", "--job=cifar10")
    checkpoint = tmp_path / "first" / "work/runs/cifar10-seed1/pretrain/checkpoint.npz"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.05)
    kill(process)
    process = begin("first", "--job=cifar10")
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line.startswith("cifar10-seed1-finetune-logits,"):
            break
    kill(process)
    assert "cifar10-seed1-pretrain, " in "".join(printed)
    assert "Epoch 1/2" not in "".join(printed)
    shutil.copytree(tmp_path / "first" / "home", tmp_path / "came home")
    done = states(finished(begin("second", "--job=cifar10", f"--state={tmp_path / 'came home'}")))
    assert done.pop("cifar10-seed1-pretrain") == "was done"
    assert len(done) == 4 and set(done.values()) == {"done"}
    home = tmp_path / "second" / "home"
    sizes = [path.stat().st_size for path in home.iterdir()]
    assert len(sizes) <= 8 and max(sizes) <= 15 << 20
    # The bare third machine has nothing but what came home, and finds all done.
    again = states(finished(begin("third", "--job=cifar10", f"--state={home}")))
    assert len(again) == 5 and set(again.values()) == {"was done"}
    printed = finished(begin("third", "--job=summary"))
    text = (tmp_path / "third" / "home" / "summary.md").read_text()
    assert "summary:" in printed and "Best seed by the mean FPR95 of its fine-tunes: 1" in text
    model = tmp_path / "third" / "work" / "runs" / "cifar10-seed1" / "pretrain" / "model.keras"
    assert model.is_file()
