import numpy as np
import pytest
from PIL import Image
from tiny_tfds import pixels, prepare

from kerasood.data.open import availability, available_splits, open_source
from kerasood.data.options import DataOptions
from kerasood.data.registry import DATASETS
from kerasood.data.roles import ood_names

pytestmark = pytest.mark.usefixtures("empty_places")


def some_images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def save_folder(folder, count, seed=0):
    folder.mkdir(parents=True)
    for i, image in enumerate(some_images(count, seed)):
        Image.fromarray(image).save(folder / f"{i}.png")


def count_of(name, split="outliers", **where):
    images, _ = open_source(str(name), split, DataOptions(download=False, **where)).load()
    assert images.dtype == np.uint8 and images.shape[1:] == (32, 32, 3)
    assert availability(str(name), split, DataOptions(download=False, **where)) is None
    return len(images)


def test_a_users_own_images_in_one_piece_are_all_outliers(tmp_path):
    np.save(tmp_path / "a.npy", some_images(5))
    np.savez(tmp_path / "b.npz", some_images(6))
    np.savez(tmp_path / "c.npz", images=some_images(7), labels=np.arange(7))
    save_folder(tmp_path / "d", 3)
    for name in ("e/cat", "e/dog"):
        save_folder(tmp_path / name, 4)
    names = ("a.npy", "b.npz", "c.npz", "d", "e")
    assert [count_of(tmp_path / name) for name in names] == [5, 6, 7, 3, 8]


def test_a_users_own_splits_give_the_training_images_or_the_only_ones(tmp_path):
    np.savez(tmp_path / "a.npz", train_images=some_images(5), test_images=some_images(3))
    np.savez(tmp_path / "b.npz", test_images=some_images(3))
    np.savez(tmp_path / "c.npz", validation_images=some_images(2), test_images=some_images(3))
    save_folder(tmp_path / "d" / "train", 4)
    save_folder(tmp_path / "d" / "test", 2)
    assert [count_of(tmp_path / name) for name in ("a.npz", "b.npz", "d")] == [5, 3, 4]
    with pytest.raises(ValueError, match="no split 'train'; splits there: validation, test"):
        open_source(str(tmp_path / "c.npz"), "outliers")


@pytest.mark.parametrize("name", ["outliers", "imagenet32", "random_images_300k"])
@pytest.mark.parametrize("kind", ["train.npz", "one.npz", "npy", "folder", "train folder"])
def test_registered_outlier_sets_have_training_images_alone(tmp_path, name, kind):
    if kind == "npy":
        np.save(tmp_path / f"{name}.npy", some_images(4))
    elif kind.endswith("npz"):
        key = "train_images" if kind == "train.npz" else "images"
        np.savez(tmp_path / f"{name}.npz", **{key: some_images(4)})
    else:
        save_folder(tmp_path / name / ("train" if kind == "train folder" else ""), 4)
    for split in ("outliers", "train"):
        assert count_of(name, split, data_dir=tmp_path) == 4
    assert available_splits(name, DataOptions(tmp_path)) == ("train",)
    for split in ("ood", "test", "validation"):
        with pytest.raises(ValueError, match="to train with, never a test set; splits there: tr"):
            open_source(name, split, DataOptions(tmp_path, download=False))
        lack = availability(name, split, DataOptions(tmp_path))
        assert lack.startswith(f"{name}: no split '{split}'")
    assert name not in ood_names("cifar10")


def test_imagenet32_is_the_training_split_of_a_configuration_without_its_labels(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    images = [pixels(seed, 32, 32) for seed in range(3)]
    other = [pixels(9, 32, 32)]
    prepare(tmp_path / "imagenet_resized", "32x32", {"train": images, "validation": other}, 1000,
            (32, 32, 3))
    for split in ("outliers", "train"):
        source = open_source("imagenet32", split, DataOptions(tmp_path, download=False))
        loaded, labels = source.load()
        np.testing.assert_array_equal(loaded, images)
        assert labels is None and source.num_classes is None and source.class_names is None
    assert available_splits("imagenet32", DataOptions(tmp_path)) == ("train",)
    assert "never a test set" in availability("imagenet32", "ood", DataOptions(tmp_path))


def test_other_registered_sets_as_outliers(tmp_path):
    np.savez(tmp_path / "cifar100.npz", train_images=some_images(5), test_images=some_images(3))
    np.savez(tmp_path / "places365.npz", test_images=some_images(3))
    assert count_of("cifar100", data_dir=tmp_path) == 5
    assert count_of("places365", data_dir=tmp_path) == 3
    assert open_source("blobs", "outliers").num_images == 2000
    assert count_of("digits") == open_source("digits", "train").num_images


def test_other_registered_sets_of_tfds_as_outliers(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    prepare(tmp_path, "svhn_cropped", {"test": [pixels(0, 32, 32)], "train": [pixels(1, 32, 32)]},
            10, (32, 32, 3))
    images, _ = open_source("svhn", "outliers", DataOptions(tmp_path, download=False)).load()
    np.testing.assert_array_equal(images, [pixels(1, 32, 32)])


def test_missing_outlier_sets_say_how_to_get_them(tmp_path):
    assert availability("imagenet32", "outliers", DataOptions(tmp_path, download=True)) is None
    line = availability("outliers", "outliers", DataOptions(tmp_path, download=True))
    assert "outliers.npz" in line and "unrelated" in line
    line = availability("random_images_300k", "outliers", DataOptions(tmp_path, download=False))
    assert DATASETS["random_images_300k"].archive.url in line
