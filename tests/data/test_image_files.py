import dataclasses

import numpy as np
import pytest
from PIL import Image

from kerasood.data import image_files
from kerasood.data.folders import FolderSource, folder_splits
from kerasood.data.options import DataOptions
from kerasood.data.registry import DATASETS


def pixels(seed, side=32):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def write_image(path, seed=0, side=32):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, side)).save(path)


def write_classes(root, per_class=10, names=("cat", "dog")):
    for label, name in enumerate(names):
        for i in range(per_class):
            write_image(root / name / f"{i}.png", seed=100 * label + i)


def test_any_suffix_recursively_in_a_fixed_order(tmp_path):
    names = ["b/z.PNG", "b/a.bmp", "b/deep/er.png", "c.jpeg", "a.JPG", "d.WebP", "e.gif"]
    for name in names:
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    write_image(tmp_path / ".hidden.png")
    write_image(tmp_path / ".cache" / "a.png")
    source = FolderSource(tmp_path, "test")
    found = [file.removeprefix(f"{tmp_path}/") for file in image_files.image_paths(tmp_path)]
    assert found == ["a.JPG", "c.jpeg", "d.WebP", "e.gif", "b/a.bmp", "b/z.PNG", "b/deep/er.png"]
    images, labels = source.load()
    assert images.shape == (7, 32, 32, 3) and labels is None
    assert source.num_classes is None and source.class_names is None
    np.testing.assert_array_equal(images, FolderSource(tmp_path, "ood").load()[0])


def test_class_folders_give_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "FILES_PER_READ", 3)
    write_classes(tmp_path / "test", per_class=4, names=("wolf", "ant", "bee"))
    (tmp_path / "test" / "empty").mkdir()
    source = FolderSource(tmp_path, "test")
    assert source.class_names == ("ant", "bee", "wolf")
    assert (source.num_images, source.num_classes) == (12, 3)
    batches = list(source.batches(5))
    assert [len(images) for images, _ in batches] == [5, 5, 2]
    labels = np.concatenate([labels for _, labels in batches])
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 and labels.dtype == np.int32
    np.testing.assert_array_equal(batches[0][0][1], pixels(101))


def test_classes_are_those_of_all_splits(tmp_path):
    write_classes(tmp_path / "train", 2, ("ant", "bee", "wolf"))
    write_classes(tmp_path / "test", 2, ("bee", "wolf"))
    source = FolderSource(tmp_path, "test")
    assert source.num_classes == 3 and source.load()[1].tolist() == [1, 1, 2, 2]
    assert folder_splits(tmp_path) == ("train", "test")
    assert FolderSource(tmp_path, "ood").num_images == 4
    with pytest.raises(ValueError, match="no split 'validation'; splits there: train, test"):
        FolderSource(tmp_path, "validation")


def test_images_outside_class_folders_are_not_labelled(tmp_path):
    write_classes(tmp_path, 2)
    write_image(tmp_path / "stray.png")
    assert FolderSource(tmp_path, "test").load()[1] is None
    assert folder_splits(tmp_path) == ("test",)


def test_labelled_folder_in_one_piece_is_divided(tmp_path):
    write_classes(tmp_path)
    assert folder_splits(tmp_path) == ("train", "validation", "test")
    parts = {split: FolderSource(tmp_path, split).load() for split in folder_splits(tmp_path)}
    assert {split: np.bincount(labels).tolist() for split, (_, labels) in parts.items()} == {
        "train": [8, 8], "validation": [1, 1], "test": [1, 1]
    }
    together = {image.tobytes() for images, _ in parts.values() for image in images}
    assert together == {pixels(seed).tobytes() for seed in (*range(10), *range(100, 110))}
    assert FolderSource(tmp_path, "ood").num_images == 20
    assert FolderSource(tmp_path, "test", spec=DATASETS["photos"]).num_images == 20


def test_damaged_files_are_skipped_named_and_counted(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(image_files, "FILES_PER_READ", 3)
    write_classes(tmp_path / "test", per_class=4)
    damaged = [tmp_path / "test" / "cat" / "1.png", tmp_path / "test" / "dog" / "0.png"]
    damaged[0].write_bytes(damaged[0].read_bytes()[:200])
    damaged[1].write_text("this is no image")
    source = FolderSource(tmp_path, "test")
    assert source.num_images == 8 and source.skipped == []
    with caplog.at_level("WARNING", logger="absl"):
        batches = list(source.batches(5))
    assert [len(images) for images, _ in batches] == [5, 1]
    assert np.concatenate([labels for _, labels in batches]).tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(batches[0][0][1], pixels(2))
    assert [file for file, _ in source.skipped] == [str(file) for file in damaged]
    assert source.num_images == 6
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1 and "skipped 2 unreadable of 8 files" in warnings[0]
    assert str(damaged[0]) in warnings[0] and str(damaged[1]) in warnings[0]
    caplog.clear()
    source.load()
    assert len(source.skipped) == 2 and not caplog.records


def test_strict_refuses_a_damaged_file(tmp_path):
    write_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(ValueError, match="b.png: unreadable image. Received: Unidentified"):
        FolderSource(tmp_path, "test", DataOptions(strict=True)).load()


def test_folder_of_damaged_files_only(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="none of its 1 images is readable"):
        FolderSource(tmp_path, "test").load()


def test_empty_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"expected image files \(.jpg, .*Received: none there"):
        FolderSource(tmp_path, "test")


def test_wrong_size_of_a_set_published_in_32x32_is_an_error_at_once(tmp_path):
    write_image(tmp_path / "a.png", side=36)
    with pytest.raises(ValueError, match="a.png: expected 32x32.*Received: 36x36"):
        FolderSource(tmp_path, "test", spec=DATASETS["lsun_crop"])
    assert FolderSource(tmp_path, "test").load()[0].shape == (1, 32, 32, 3)


def test_the_first_by_name_are_taken_across_class_folders(tmp_path):
    for name in ("z/1.png", "z/4.png", "a/3.png", "a/2.png", "a/0.png"):
        write_image(tmp_path / name, seed=int(name[2]))
    spec = dataclasses.replace(DATASETS["places365"], first=3)
    images, _ = FolderSource(tmp_path, "test", spec=spec).load()
    np.testing.assert_array_equal(images, [pixels(0), pixels(2), pixels(1)])
    assert FolderSource(tmp_path, "test", spec=DATASETS["places365"]).num_images == 5


def test_more_class_folders_than_the_set_has_classes(tmp_path):
    write_classes(tmp_path, 1, [f"{i:02d}" for i in range(11)])
    with pytest.raises(ValueError, match="labels from 0 to 9. Received: labels from 0 to 10"):
        FolderSource(tmp_path, "test", spec=DATASETS["svhn"])
