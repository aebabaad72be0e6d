import errno
import json
import os
import signal
import stat
import subprocess
import sys

import pytest

from kerasood import files
from kerasood.files import atomic_path, check_writable, read_json, write_json, write_text


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_replaces_the_previous_one_and_its_folder_is_made(tmp_path):
    path = tmp_path / "a" / "b" / "note.txt"
    write_text(path, "first")
    write_text(path, "zweite Fassung: größer")
    assert path.read_text(encoding="utf-8") == "zweite Fassung: größer"
    assert names_in(path.parent) == ["note.txt"]


def test_json_goes_round(tmp_path):
    content = {"numbers": [1, 0.1, None], "text": "ü", "flag": True}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt()])
def test_an_error_inside_the_block_leaves_the_previous_content(tmp_path, error):
    write_text(tmp_path / "x.txt", "before")
    with pytest.raises(type(error)), atomic_path(tmp_path / "x.txt") as temporary:
        temporary.write_text("half of")
        raise error
    assert (tmp_path / "x.txt").read_text() == "before"
    assert names_in(tmp_path) == ["x.txt"]


def test_a_reader_sees_the_old_content_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "before")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "before"
        assert temporary.parent.parent == tmp_path and temporary.suffix == ".txt"
    assert path.read_text() == "new"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "model") as temporary:
        temporary.mkdir()
        (temporary / "weights").write_bytes(b"1")
        raise RuntimeError
    assert names_in(tmp_path) == []
    with atomic_path(tmp_path / "model") as temporary:
        temporary.mkdir()
        (temporary / "weights").write_bytes(b"2")
    assert (tmp_path / "model" / "weights").read_bytes() == b"2"
    assert names_in(tmp_path) == ["model"]


def test_a_folder_with_content_is_not_replaced(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"1")
    with pytest.raises(OSError, match="Cannot write .*model"):
        with atomic_path(tmp_path / "model") as temporary:
            temporary.mkdir()
    assert (tmp_path / "model" / "weights").read_bytes() == b"1"


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_previous_content_and_names_the_file(tmp_path, monkeypatch, call):
    path = tmp_path / "x.json"
    write_json(path, [1])
    monkeypatch.setattr(files.os, call, no_space)
    with pytest.raises(OSError, match="No space left on device. Nothing was changed") as error:
        write_json(path, [2])
    assert error.value.errno == errno.ENOSPC and str(path) in str(error.value)
    monkeypatch.undo()
    assert read_json(path) == [1]
    assert names_in(tmp_path) == ["x.json"]


def test_a_disk_that_fills_up_within_the_file_leaves_the_previous_content(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"before")
    with pytest.raises(OSError, match="No space left"), atomic_path(path) as temporary:
        temporary.write_bytes(b"half of")
        no_space()
    assert path.read_bytes() == b"before"
    assert names_in(tmp_path) == ["x.npz"]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "runs").write_text("mine")
    for write in (lambda path: write_json(path, {}), check_writable):
        with pytest.raises(OSError, match="Cannot write .*runs/x: "):
            write(tmp_path / "runs" / "x")
    with pytest.raises(OSError, match="Cannot write to .*runs: File exists"):
        check_writable(tmp_path / "runs")
    assert (tmp_path / "runs").read_text() == "mine"


def test_check_writable_makes_the_folder_and_leaves_nothing_in_it(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert names_in(tmp_path / "a" / "b") == []


def test_check_writable_meets_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(files.tempfile, "TemporaryFile", no_space)
    with pytest.raises(OSError, match=f"Cannot write to {tmp_path}: No space left"):
        check_writable(tmp_path)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_refuses_what_is_no_number(tmp_path, number):
    write_json(tmp_path / "x.json", [1])
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": [number]})
    assert json.loads((tmp_path / "x.json").read_text()) == [1]


def test_broken_json_is_named(tmp_path):
    (tmp_path / "x.json").write_text('{"a": ')
    with pytest.raises(ValueError, match="Expected JSON in .*x.json. Received:"):
        read_json(tmp_path / "x.json")


KILLED = """
import os, signal, sys
from kerasood.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half of")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_while_writing(path):
    result = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert result.returncode == -signal.SIGKILL


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    kill_while_writing(tmp_path / "config.json")
    (left,) = tmp_path.iterdir()
    assert files.is_temporary(left / "config.json") and not files.visible(tmp_path)
    with atomic_path(tmp_path / "a.txt") as temporary:  # a living writer's stays
        write_text(tmp_path / "b.txt", "b")
        temporary.write_text("a")
    assert names_in(tmp_path) == ["a.txt", "b.txt"]


def test_a_run_whose_first_writer_was_killed_is_new(tmp_path):
    from kerasood.runs import Run, newest_run
    from kerasood.training.config import TrainConfig, stage_config

    run = Run(tmp_path / "run", stage_config(TrainConfig(), "pretrain"))
    kill_while_writing(run.path / "config.json")
    for resume in (False, True):
        run.check(resume)
    kill_while_writing(run.path / "model.keras")
    with pytest.raises(ValueError, match="No complete run"):
        newest_run(tmp_path)


def test_what_replaces_a_file_is_on_the_disk_before_and_its_name_after(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: order.append(
        "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"))
    replace = os.replace
    monkeypatch.setattr(files.os, "replace", lambda *a: order.append("replace") or replace(*a))
    write_text(tmp_path / "x", "1")
    assert order == ["file", "replace", "folder"]
    order.clear()
    with atomic_path(tmp_path / "model") as temporary:
        temporary.mkdir()
        (temporary / "weights").write_bytes(b"1")
    assert order == ["file", "folder", "replace", "folder"]
