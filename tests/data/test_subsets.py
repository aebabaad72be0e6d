import numpy as np
import pytest
from PIL import Image

from kerasood.data.arrays import ArrayFileSource
from kerasood.data.built_in import GeneratedSource
from kerasood.data.folders import FolderSource
from kerasood.data.source import ArraySource

LABELS = np.arange(40) % 4


def some_images(count=40, side=32):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.fixture(params=["array", "npz", "folder", "generated"])
def source(request, tmp_path, monkeypatch):
    monkeypatch.setattr("kerasood.data.arrays.ROWS_PER_READ", 7)
    monkeypatch.setattr("kerasood.data.image_files.FILES_PER_READ", 7)
    if request.param == "generated":
        return GeneratedSource("uniform_noise", num_images=40)
    if request.param == "array":
        return ArraySource("mine", some_images(), LABELS, 4)
    if request.param == "npz":
        np.savez(tmp_path / "mine.npz", test_images=some_images(), test_labels=LABELS)
        return ArrayFileSource(tmp_path / "mine.npz", "test")
    for row, image in enumerate(some_images()):
        folder = tmp_path / "mine" / f"class{row // 10}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{row:02d}.png")
    return FolderSource(tmp_path / "mine", "ood")


def test_rows_are_taken_in_the_order_asked_for(source):
    whole, _ = source.load()
    np.testing.assert_array_equal(source.take([39, 0, 7, 7]), whole[[39, 0, 7, 7]])


def test_a_subset_is_a_source_of_its_own(source):
    whole, labels = source.load()
    rows = np.array([1, 6, 7, 8, 30, 39])
    part = source.subset(rows, "some")
    assert (part.name, part.num_images, part.num_classes) == ("some", 6, source.num_classes)
    images, part_labels = part.load()
    np.testing.assert_array_equal(images, whole[rows])
    np.testing.assert_array_equal(np.concatenate([b for b, _ in part.batches(4)]), whole[rows])
    if labels is not None:
        np.testing.assert_array_equal(part_labels, labels[rows])
        np.testing.assert_array_equal(part.labels, labels[rows])
    np.testing.assert_array_equal(part.subset([0, 4]).load()[0], whole[[1, 30]])
    np.testing.assert_array_equal(part.take([5, 0]), whole[[39, 1]])
    assert source.num_images == 40 and len(source.load()[0]) == 40
    assert len({s.fingerprint() for s in (source, part, source.subset([1, 6]))}) == 3


@pytest.mark.parametrize("rows", [[], [3, 2], [1, 1], [-1], [40], [0.5], [[1]]])
def test_other_rows_are_refused(source, rows):
    with pytest.raises(ValueError, match=r"increasing rows in \[0, 40\)"):
        source.subset(rows)


def test_unreadable_files_move_no_other_image(tmp_path):
    for row, image in enumerate(some_images(6)):
        Image.fromarray(image).save(tmp_path / f"{row}.png")
    (tmp_path / "2.png").write_bytes(b"no image")
    source = FolderSource(tmp_path, "test")
    for _ in range(2):
        images, _ = source.subset([1, 2, 3]).load()
        np.testing.assert_array_equal(images, some_images(6)[[1, 3]])
        source.load()
    with pytest.raises(ValueError, match="Received: 1 unreadable of 2"):
        source.take([2, 3])
