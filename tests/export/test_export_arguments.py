"""Arguments that cannot be are refused in words, before anything is traced or written."""

import threading

import numpy as np
import pytest
from tiny_models import ood_model, random_images, small_network

from kerasood import export
from kerasood.detectors import Energy
from kerasood.export import exporting, versions


@pytest.fixture(scope="module")
def model():
    return ood_model(small_network(), Energy())


@pytest.fixture
def no_work(monkeypatch):
    """Fails where a model is asked, which is the first thing that takes time."""
    monkeypatch.setattr(exporting, "eager_outputs", lambda *_: pytest.fail("work has begun"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ood_model": small_network}, "Expected an OODModel.* Received: function"),
        ({"images": np.zeros((0, 8, 8, 3), np.uint8)}, "at least one image"),
        ({"images": np.zeros((2, 9, 8, 3), np.uint8)}, "Received: shape="),
        ({"metadata": ["a"]}, "metadata as a dict"),
        ({"metadata": {"class_names": ["a"]}}, "a list of 4 class names.*Received: .*'a'"),
        ({"metadata": {"class_names": "abcd"}}, "a list of 4 class names.*Received: .*'abcd'"),
        ({"metadata": {"class_names": [1, 2, 3, 4]}}, "a list of 4 class names"),
        ({"metadata": {"threshold": 1}}, "come from the model"),
        ({"metadata": {"x": object()}}, "metadata of JSON values"),
        ({"metadata": {"x": float("inf")}}, "metadata of JSON values"),
        ({"metadata": {"calibration": "x"}}, "'calibration' as a dict. Received: 'x'"),
        ({"metadata": {"calibration": {"x": 1}}}, "Received: "),
        ({"model_name": None}, None),
        ({"model_name": "a/b"}, "model_name='a/b'"),
        ({"version": True}, "integer version > 0"),
        ({"formats": ["tflit"]}, "Did you mean 'tflite'"),
        ({"max_pixels": 0}, "Expected max_pixels"),
    ],
)
def test_refused_before_the_work(model, tmp_path, no_work, changes, message):
    if message is None:
        changes, message = {"model_name": "é"}, "model_name='é'"
    arguments = {"images": random_images((8, 8, 3)), "ood_model": model, **changes}
    with pytest.raises(ValueError, match=message):
        export.export_model(arguments.pop("ood_model"), tmp_path / "out", **arguments)
    assert not list(tmp_path.iterdir())


def test_simultaneous_exports_get_numbers_of_their_own(tmp_path):
    """All hold their reservation until each has one."""
    together, numbers = threading.Barrier(5), []

    def write():
        with versions.new_version(tmp_path, "tiny") as (temporary, target):
            together.wait(30)
            temporary.mkdir()
            numbers.append(int(target.name))

    threads = [threading.Thread(target=write) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == [1, 2, 3, 4, 5]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["1", "2", "3", "4", "5", "tiny"]


def test_a_version_that_is_being_written_is_taken(tmp_path):
    with versions.new_version(tmp_path, "tiny", 3) as (temporary, _):
        with pytest.raises(FileExistsError, match="version=3, which another export is writing"):
            with versions.new_version(tmp_path, "tiny", 3):
                pass
        temporary.mkdir()
    with versions.new_version(tmp_path, "tiny", is_served=False) as (temporary, target):
        temporary.mkdir()
    # One count for both folders, so that a number means one export.
    assert target == tmp_path / "tiny-lite" / "4"


def test_a_reservation_ends_with_its_process(tmp_path):
    (tmp_path / ".tiny.versions.1").touch()  # as a killed export leaves it
    with versions.new_version(tmp_path, "tiny") as (temporary, target):
        temporary.mkdir()
    assert target.name == "1" and not (tmp_path / ".tiny.versions.1").exists()
