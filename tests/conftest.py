"""Fixtures that several files share."""

import re

import pytest
from tiny_data import trained_run, write_npz

from kerasood.commands.common import errors_as_lines


@pytest.fixture
def empty_places(tmp_path, monkeypatch):
    """No data but what the test makes."""
    monkeypatch.delenv("KERASOOD_DATA_DIR", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A complete pretrain run on 48 training and 48 test images of two classes."""
    folder = tmp_path_factory.mktemp("base")
    write_npz(folder / "tiny.npz", num_images=48)
    return trained_run(folder)


@pytest.fixture
def refused(capsys):
    """Runs a command as its entry point does; returns the one line of its error."""

    def run(story, config):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop, errors_as_lines():
            story(config)
        printed = capsys.readouterr()
        assert stop.value.code == 1
        assert re.fullmatch(r"error: [^\n]+\n", printed.err)
        assert "Traceback" not in printed.out
        return printed.err

    return run
