import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from kerasood.data.open import availability, available_splits, open_source
from kerasood.data.options import DataOptions
from kerasood.data.registry import DATASETS


@pytest.fixture(autouse=True)
def empty_places(tmp_path, monkeypatch):
    monkeypatch.delenv("KERASOOD_DATA_DIR", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))


def save_npz(path, value, count=3, **more):
    images = np.full((count, 32, 32, 3), value, np.uint8)
    np.savez(path, test_images=images, **more)


def save_folder(folder, value, count=2):
    folder.mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (32, 32), (value,) * 3).save(folder / f"{i}.png")


def value_of(name, **where):
    source = open_source(name, "test", DataOptions(download=False, **where))
    return int(source.load()[0][0, 0, 0, 0])


def test_npz_comes_before_folder_and_given_directory_before_the_variable(tmp_path, monkeypatch):
    given, variable = tmp_path / "given", tmp_path / "variable"
    save_folder(given / "svhn", 1)
    save_folder(variable / "svhn", 3)
    monkeypatch.setenv("KERASOOD_DATA_DIR", str(variable))
    assert value_of("svhn") == 3
    assert value_of("svhn", data_dir=given) == 1
    save_npz(given / "svhn.npz", 2)
    assert value_of("svhn", data_dir=str(given)) == 2
    assert availability("svhn", "test", DataOptions(given, download=False)) is None


def test_folder_of_a_set_may_hold_split_folders(tmp_path):
    save_folder(tmp_path / "places365" / "test", 7, count=4)
    source = open_source("places365", "ood", DataOptions(tmp_path))
    assert (source.name, source.num_images) == ("places365", 4)
    assert available_splits("places365", DataOptions(tmp_path)) == ("test",)


def test_paths(tmp_path):
    save_npz(tmp_path / "mine.npz", 5)
    save_folder(tmp_path / "photos_of_mine", 6)
    assert value_of(str(tmp_path / "mine.npz")) == 5
    assert value_of(str(tmp_path / "photos_of_mine")) == 6
    assert availability(str(tmp_path / "mine.npz"), "ood") is None
    assert available_splits(str(tmp_path / "photos_of_mine")) == ("test",)


def test_a_registered_name_is_not_a_folder_of_that_name(tmp_path, monkeypatch):
    save_folder(tmp_path / "digits", 200)
    monkeypatch.chdir(tmp_path)
    assert open_source("digits").num_classes == 8
    assert value_of("./digits") == 200


@pytest.mark.parametrize("name", ["digits", "digits_heldout", "photos", "blobs"])
def test_sets_that_are_always_at_hand(name):
    assert availability(name, "ood", DataOptions(download=False)) is None
    source = open_source(name, "ood", DataOptions(download=False, image_size=16))
    assert next(source.batches(2))[0].shape == (2, 16, 16, 3)
    assert available_splits(name) == DATASETS[name].splits
    assert "no split 'extra'; splits there:" in availability(name, "extra")
    with pytest.raises(ValueError, match=f"{name}: no split 'extra'"):
        open_source(name, "extra")


def test_missing_sets_say_where_they_were_sought_and_how_to_get_them(tmp_path):
    line = availability("svhn", "test", DataOptions(tmp_path, download=False))
    assert line.startswith(f"svhn: not found in {tmp_path}, {tmp_path}/tfds; allow the download")
    assert "\n" not in line
    line = availability("isun", "test", DataOptions(tmp_path, download=False))
    assert "iSUN.tar.gz" in line and "be77b0f2c26fda898afac5f99645ee70" in line
    line = availability("scenes_crop", "test", DataOptions(tmp_path, download=True))
    assert line.startswith(f"scenes_crop: not found in {tmp_path}; get MiniPlaces")
    assert "no data directory given" in availability("scenes_crop")
    for name in ("svhn", "isun", "scenes_crop"):
        with pytest.raises(FileNotFoundError, match=f"{name}: not found"):
            open_source(name, "test", DataOptions(tmp_path, download=False))


def test_downloadable_sets_are_available_in_their_published_splits(tmp_path):
    options = DataOptions(tmp_path)
    assert availability("isun", "ood", options) is None
    assert "splits there: test" in availability("isun", "train", options)
    assert availability("cifar10", "train", options) is None
    assert "splits there: train, test" in availability("cifar10", "validation", options)


def test_what_is_on_disk_decides_also_when_it_lacks_the_split(tmp_path):
    save_npz(tmp_path / "svhn.npz", 0)
    message = f"svhn: {tmp_path}/svhn.npz: no split 'train'; splits there: test"
    assert availability("svhn", "train", DataOptions(tmp_path, download=True)) == message
    with pytest.raises(ValueError, match="no split 'train'"):
        open_source("svhn", "train", DataOptions(tmp_path, download=True))


def test_availability_reports_what_opening_would(tmp_path):
    (tmp_path / "isun.npz").write_bytes(b"PK")
    (tmp_path / "places365").mkdir()
    save_npz(tmp_path / "svhn.npz", 0, test_labels=np.array([0, 1, 10]))
    for name, text in (("isun", "truncated"), ("places365", "none there"), ("svhn", "to 10")):
        assert text in availability(name, "test", DataOptions(tmp_path))
        with pytest.raises(ValueError, match=text):
            open_source(name, "test", DataOptions(tmp_path))


def test_data_directory_must_exist(tmp_path, monkeypatch):
    for ask in (open_source, availability):
        with pytest.raises(ValueError, match="exists. Received: data_dir=/no/such"):
            ask("svhn", "test", DataOptions("/no/such"))
    monkeypatch.setenv("KERASOOD_DATA_DIR", str(tmp_path / "gone"))
    with pytest.raises(ValueError, match="Received: KERASOOD_DATA_DIR="):
        open_source("svhn", "test")


@pytest.mark.parametrize("name", ["gone.npz", "some/where", "./gone", "gone/"])
def test_missing_path(name):
    with pytest.raises(ValueError, match=f"Expected a path that exists. Received: name='{name}'"):
        open_source(name)


def test_file_of_another_kind(tmp_path):
    file = tmp_path / "images.h5"
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="Expected an .npz or .npy file, a .csv or .txt list"):
        open_source(str(file))


def test_unknown_name():
    for ask in (open_source, availability, available_splits):
        with pytest.raises(ValueError, match="Did you mean 'cifar10'"):
            ask("cifar_10")


REAL = os.environ.get("KERASOOD_DATA_DIR")


@pytest.mark.skipif(not REAL, reason="needs real images in KERASOOD_DATA_DIR")
@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn"])
def test_real_images(name):
    if not pathlib.Path(REAL, f"{name}.npz").is_file():
        pytest.skip(f"no {name}.npz in KERASOOD_DATA_DIR")
    source = open_source(name, "test", DataOptions(REAL, download=False))
    images, labels = source.load()
    assert len(images) == len(labels) == source.num_images
    assert np.unique(labels).tolist() == list(range(source.num_classes))
    assert 90 < images.mean() < 150
