"""Writers killed at every rename and at random: what a reader sees is whole, and nothing stays."""
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from kerasood import files

WRITER = """
import itertools, os, signal, sys
import numpy as np
from kerasood import files

folder, kill_at = sys.argv[1], int(sys.argv[2])
renames, replace = itertools.count(), os.replace

def replacing(*paths):
    number = next(renames)  # even: killed before the rename; odd: after it
    if 2 * number == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
    if 2 * number + 1 == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replacing
print("ready", flush=True)
for version in itertools.count() if kill_at < 0 else range(4):
    files.write_json(f"{folder}/config.json", {"version": version, "filler": "x" * 5000})
    with files.atomic_path(f"{folder}/checkpoint.npz") as temporary:
        np.savez(temporary, version=version, weights=np.full(20_000, version))
    with files.atomic_path(f"{folder}/export-{version}") as temporary:
        temporary.mkdir()
        for name in "ab":
            (temporary / name).write_text(str(version))
"""


def check_whole(folder):
    """Reads everything visible; returns the number of files."""
    for path in files.visible(folder):
        if path.suffix == ".json":
            assert len(json.loads(path.read_text())["filler"]) == 5000
        elif path.suffix == ".npz":
            with np.load(path) as stored:
                assert np.all(stored["weights"] == stored["version"])
        else:
            texts = [(path / name).read_text() for name in "ab"]
            assert texts == [path.name.removeprefix("export-")] * 2
    return len(files.visible(folder))


def start(folder, kill_at):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, folder, str(kill_at)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_killed_at_every_rename(tmp_path, effort):
    kills = 0
    for kill_at in range(24):
        folder = tmp_path / str(kill_at)
        with start(folder, kill_at) as process:
            assert process.wait() == -signal.SIGKILL
        kills += 1
        assert check_whole(folder) == sum(kill_at >= first for first in (1, 3, 5, 11, 17, 23))
        files.write_text(folder / "next.txt", "")
        assert files.visible(folder) == list(folder.iterdir())
    print(f"{kills} kills at renames: every visible file whole, no leftovers")


@pytest.mark.parametrize("seed", [0])
def test_killed_at_random(tmp_path, effort, seed):
    rng, kills = np.random.default_rng(seed), 0
    for number in range(6 * effort):
        with start(tmp_path / str(number), -1) as process:
            time.sleep(rng.exponential(0.05))
            process.kill()
            process.wait()
        kills += 1
        if (tmp_path / str(number)).exists():
            check_whole(tmp_path / str(number))
            files.write_text(tmp_path / str(number) / "next.txt", "")
            left = [path for path in (tmp_path / str(number)).iterdir()
                    if files.is_temporary(path.name)]
            assert left == []
    print(f"{kills} kills at random moments, seed {seed}: every visible file whole, no leftovers")
