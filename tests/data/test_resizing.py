"""Stored images of one size for models of another."""

import keras
import numpy as np
import pytest
from PIL import Image
from tiny_data import images_of, write_npz

import kerasood
from kerasood.data import arrays
from kerasood.data.decoding import resize_all
from kerasood.data.open import availability, open_source
from kerasood.data.options import DataOptions

pytestmark = pytest.mark.usefixtures("empty_places")


def by_pillow(images, side):
    """Antialiased bilinear, image by image."""
    size = (side, side)
    resized = [Image.fromarray(x).resize(size, Image.Resampling.BILINEAR) for x in images]
    return np.stack([np.asarray(image) for image in resized])


def network(side, num_classes=10):
    keras.utils.set_random_seed(0)
    images = keras.Input((side, side, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 64, offset=-2)(images)
    x = keras.layers.Conv2D(6, 5, strides=2, activation="relu")(x)
    pooled = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(num_classes)(pooled))


@pytest.fixture
def folder(tmp_path):
    """Data sets as users have them: arrays of 32x32 and 40x28, larger files, and arrays in .npy."""
    write_npz(tmp_path / "cifar10.npz", num_images=40)
    np.savez(tmp_path / "svhn.npz", images=images_of([2] * 9))
    np.savez(tmp_path / "other.npz", images=np.resize(images_of([1] * 5), (5, 40, 28, 3)))
    np.save(tmp_path / "mine.npy", images_of([0] * 7))
    (tmp_path / "textures").mkdir()
    large = np.random.default_rng(0).integers(0, 256, (3, 60, 90, 3)).astype("uint8")
    for number, image in enumerate(large):
        Image.fromarray(image).save(tmp_path / "textures" / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize(("name", "key"), [("svhn", "images"), ("mine.npy", None)])
@pytest.mark.parametrize("side", [16, 48])
def test_stored_arrays_come_in_the_wanted_size(folder, name, key, side):
    path = folder / name if key is None else folder / f"{name}.npz"
    stored = np.load(path) if key is None else np.load(path)[key]
    source = open_source(str(path), "ood", DataOptions(image_size=side))
    images, _ = source.load()
    np.testing.assert_array_equal(images, by_pillow(stored, side))
    assert images.shape == (len(stored), side, side, 3)
    assert (source.resized_from, source.image_size) == ((32, 32), side)
    same = open_source(str(path), "ood", DataOptions(image_size=32))
    np.testing.assert_array_equal(same.load()[0], stored)
    assert same.resized_from is None
    assert len({same.fingerprint(), source.fingerprint()}) == 2


def test_what_is_no_square_is_cropped_at_the_centre(folder):
    source = open_source(str(folder / "other.npz"), "ood", DataOptions(image_size=14))
    stored = np.load(folder / "other.npz")["images"]
    halved = [Image.fromarray(x).resize((14, 20), Image.Resampling.BILINEAR) for x in stored]
    np.testing.assert_array_equal(source.load()[0], [np.asarray(x)[3:17] for x in halved])
    assert source.resized_from == (40, 28)
    lack = availability(str(folder / "other.npz"), "ood")
    assert "expected 32x32 images; arrays are not resized" in lack


def test_labels_and_splits_stay(folder):
    source = open_source("cifar10", "train", DataOptions(data_dir=str(folder), image_size=8))
    _, labels = source.load()
    np.testing.assert_array_equal(labels, np.arange(40) % 2)
    assert source.num_classes == 10


def test_few_images_are_resized_at_a_time(folder, monkeypatch):
    counts = []

    def counting(images, side, resizing):
        counts.append(len(images))
        return resize_all(images, side, resizing)

    monkeypatch.setattr(arrays, "resize_all", counting)
    monkeypatch.setattr("kerasood.data.source.READ_BYTES", 5 * 224 * 224 * 3)
    batches = open_source("svhn", "test", DataOptions(folder, image_size=224)).batches(4)
    assert next(batches)[0].shape == (4, 224, 224, 3)
    assert counts == [5]
    assert [len(images) for images, _ in batches] == [4, 1]
    assert counts == [5, 4]


def test_a_model_of_another_size_on_named_sets(folder, caplog):
    model, where = network(48), {"data_dir": str(folder), "download": False}
    sets = {name: name for name in ("svhn", "textures", "blobs")}
    sets["mine"] = f"{folder}/mine.npy"
    result = kerasood.benchmark(
        model, "cifar10", sets, ["energy", "mahalanobis"], tpr=0.8, tune=False, **where
    )
    notes = {entry["name"]: entry["note"] for entry in result.results.sets}
    for name in ("svhn", "mine"):
        assert "resized from 32x32 to 48x48 pixels" in notes[name]
    assert not any("resized" in notes[name] for name in ("textures", "blobs"))
    assert "resized from 32x32 to 48x48" in result.results.dataset["note"]
    assert "resized from 32x32 to 48x48 pixels" in result.table()
    assert "svhn: resized from 32x32" in caplog.text and "cifar10: resized from" in caplog.text
    # The same images, resized beforehand.
    with np.load(folder / "cifar10.npz") as stored:
        pairs = {
            split: (by_pillow(stored[f"{split}_images"], 48), stored[f"{split}_labels"])
            for split in ("train", "test")
        }
    arrays_out = {
        "svhn": by_pillow(np.load(folder / "svhn.npz")["images"], 48),
        "mine": by_pillow(np.load(folder / "mine.npy"), 48),
    }
    again = kerasood.benchmark(
        model, pairs, arrays_out, ["energy", "mahalanobis"], tpr=0.8, tune=False
    )
    for key, scores in again.scores.items():
        np.testing.assert_allclose(result.scores[key], scores, rtol=1e-5, err_msg=str(key))
    textures, _ = open_source("textures", "test", DataOptions(folder, image_size=48)).load()
    energies = -np.log(np.exp(np.asarray(model(textures), "float64")).sum(axis=1))
    np.testing.assert_allclose(result.scores["model", "energy", "textures"], energies, rtol=1e-4)


def test_files_of_a_set_that_is_published_in_one_size(tmp_path):
    (tmp_path / "svhn").mkdir()
    for number, image in enumerate(images_of([1, 2])):
        Image.fromarray(image).save(tmp_path / "svhn" / f"{number}.png")
    at_32, at_64 = (
        open_source("svhn", "test", DataOptions(tmp_path, image_size=side)) for side in (32, 64)
    )
    assert (at_32.resized_from, at_64.resized_from) == (None, (32, 32))
    np.testing.assert_array_equal(at_64.load()[0], by_pillow(at_32.load()[0], 64))


def test_models_of_two_sizes_share_no_images(folder):
    with pytest.raises(ValueError, match=r"shape \(48, 48, 3\), which 'large'.*\(32, 32, 3\)"):
        kerasood.benchmark(
            {"small": network(32), "large": network(48)}, "cifar10", ["svhn"], ["energy"],
            data_dir=str(folder), download=False,
        )


def test_models_of_any_size_take_images_as_they_are_published(folder):
    images = keras.Input((None, None, 3), dtype="uint8")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    model = keras.Model(images, keras.layers.Dense(10)(pooled))
    result = kerasood.benchmark(
        model, "cifar10", ["svhn"], ["energy"], tpr=0.8, data_dir=str(folder), download=False
    )
    assert "resized" not in result.table()
