import shutil
import subprocess
import sys
import types

import pytest

from kerasood import provenance


def test_versions_leave_out_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package"))
    assert list(provenance.versions()) == ["python", "numpy"]


def in_repository(folder, *command):
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    done = subprocess.run(
        ["git", "-C", folder, *identity, *command], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_the_commit_is_that_of_the_checkout_and_marked_when_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.delenv("KERASOOD_COMMIT", raising=False)
    assert provenance.git_commit() is None
    monkeypatch.setenv("KERASOOD_COMMIT", "abc1234")
    assert provenance.git_commit() == "abc1234"
    monkeypatch.delenv("KERASOOD_COMMIT")
    in_repository(tmp_path, "init", "-q")
    (tmp_path / "provenance.py").write_text("1")
    assert provenance.git_commit() is None, "an installed package inside some other repository"
    in_repository(tmp_path, "add", ".")
    in_repository(tmp_path, "commit", "-qm", "first")
    assert provenance.git_commit() == in_repository(tmp_path, "rev-parse", "--short", "HEAD")
    (tmp_path / "provenance.py").write_text("2")
    assert provenance.git_commit() == in_repository(tmp_path, "rev-parse", "--short", "HEAD") + "+"


def test_without_git_the_commit_is_the_one_that_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("KERASOOD_COMMIT", raising=False)
    assert provenance.git_commit() is None
    monkeypatch.setenv("KERASOOD_COMMIT", "abc1234")
    assert provenance.git_commit() == "abc1234"


@pytest.mark.parametrize(
    ("arguments", "module", "environment", "command"),
    [
        (["evaluate.py", "--ood=a b"], None, {}, "python evaluate.py '--ood=a b'"),
        (["sub/mine.py"], None, {}, "python sub/mine.py"),
        (["/x/bin/kerasood-evaluate", "--run=a"], None, {}, "kerasood-evaluate --run=a"),
        (["/x/export/__main__.py", "--run=a"], "export.__main__", {}, "python -m export --run=a"),
        (["/x/demo.py"], "kerasood.commands.demo", {}, "python -m kerasood.commands.demo"),
        (["train.py"], None, {"KERAS_BACKEND": "jax"}, "KERAS_BACKEND=jax python train.py"),
        (["-c"], None, {}, "# called in an interactive session"),
        (["/x/ipykernel_launcher.py", "-f", "k"], "ipykernel_launcher", {},
         "# called in an interactive session"),
    ],
)
def test_the_command_runs_again(arguments, module, environment, command):
    spec = module and types.SimpleNamespace(name=module)
    assert provenance._command_of(arguments, spec, environment) == command


def test_a_printed_command_does_the_same_in_a_new_process(tmp_path):
    script = tmp_path / "my script.py"
    script.write_text("from kerasood.provenance import command_line; print(command_line())")

    def output_of(command):
        return subprocess.run(
            command.replace("python", sys.executable, 1), shell=True, capture_output=True,
            text=True, check=True,
        ).stdout

    first = output_of(f"python '{script}' 'a b' --c='$HOME'")
    assert "'a b'" in first and output_of(first) == first
