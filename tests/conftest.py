"""Fixtures that several files share."""

import gc
import re
import shutil

import pytest
from tiny_data import trained_run, write_npz

from kerasood.commands.common import errors_as_lines
from kerasood.logs import log

SERVERS = ("stand_in", "real_server") if shutil.which("tensorflow_model_server") else ("stand_in",)


def pytest_collection_finish(session):
    """Spares the garbage collector what was imported: a tenth of what testing exports took."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(autouse=True)
def library_log(monkeypatch):
    """The library's log as a user has it, also after a test that ran a command."""
    monkeypatch.setattr(log, "propagate", True)


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


@pytest.fixture(scope="session")
def served_export(tmp_path_factory):
    """A model of 8x8 images of classes a to d in every format at hand, named tiny, to read only."""
    from tiny_models import ood_model, random_images, small_network

    from kerasood.detectors import Energy
    from kerasood.export import available_formats, export_model

    model = ood_model(small_network(), Energy())
    return export_model(
        model,
        tmp_path_factory.mktemp("served"),
        images=random_images(model.image_shape),
        metadata={"class_names": list("abcd")},
        model_name="tiny",
        formats=available_formats(),
    )


@pytest.fixture(scope="session", params=SERVERS)
def server(request, served_export):
    """A running server of `served_export`: a stand-in, and the real one where it is installed."""
    import tf_serving

    with getattr(tf_serving, request.param)(served_export.folder) as running:
        yield running
