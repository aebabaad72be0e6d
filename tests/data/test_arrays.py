import tracemalloc
import zipfile

import numpy as np
import pytest

from kerasood.data import arrays
from kerasood.data.arrays import ArrayFileSource as NpzSource
from kerasood.data.arrays import array_splits as npz_splits
from kerasood.data.registry import DATASETS


def some_images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


@pytest.fixture
def save(tmp_path):
    def write(compressed=False, **members):
        path = tmp_path / "some.npz"
        (np.savez_compressed if compressed else np.savez)(path, **members)
        return path

    return write


@pytest.mark.parametrize("compressed", [False, True])
def test_streams_the_stored_images_in_order(save, compressed, monkeypatch):
    monkeypatch.setattr(arrays, "ROWS_PER_READ", 7)
    images, labels = some_images(25), np.arange(25) % 4
    path = save(compressed, test_images=images, test_labels=labels, train_images=some_images(3))
    source = NpzSource(path, "test")
    assert (source.name, source.num_images, source.num_classes) == ("some", 25, 4)
    for batch_size in (1, 10, 25, 40):
        batches = list(source.batches(batch_size))
        assert [len(batch) for batch, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
        np.testing.assert_array_equal(np.concatenate([batch for batch, _ in batches]), images)
        np.testing.assert_array_equal(np.concatenate([batch for _, batch in batches]), labels)
    loaded_images, loaded_labels = source.load()
    np.testing.assert_array_equal(loaded_images, images)
    assert loaded_images.dtype == np.uint8 and loaded_labels.dtype == np.int32


def test_streaming_holds_a_few_reads_not_the_file(save):
    path = save(test_images=np.zeros((20_000, 32, 32, 3), np.uint8))
    source = NpzSource(path, "test")
    tracemalloc.start()
    count = sum(len(images) for images, _ in source.batches(256))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 8 * arrays.ROWS_PER_READ * 32 * 32 * 3 < path.stat().st_size / 4


def test_one_unlabelled_array_under_any_name_is_all_test(save):
    images = some_images(6)
    path = save(pictures=images)
    for split in ("test", "ood"):
        loaded, labels = NpzSource(path, split).load()
        np.testing.assert_array_equal(loaded, images)
        assert labels is None
    assert npz_splits(path) == ("test",)
    with pytest.raises(ValueError, match="no split 'train'; splits there: test"):
        NpzSource(path, "train")


def test_labelled_images_in_one_piece_are_divided_80_10_10(save, monkeypatch):
    monkeypatch.setattr(arrays, "ROWS_PER_READ", 7)
    images, labels = some_images(100), np.random.default_rng(1).permutation(np.arange(100) % 5)
    path = save(images=images, labels=labels)
    assert npz_splits(path) == ("train", "validation", "test")
    seen = {}
    for split, count in (("train", 80), ("validation", 10), ("test", 10)):
        source = NpzSource(path, split)
        part_images, part_labels = source.load()
        assert source.num_images == len(part_images) == count
        np.testing.assert_array_equal(np.bincount(part_labels), [count // 5] * 5)
        seen |= dict(zip((image.tobytes() for image in part_images), part_labels, strict=True))
    assert seen == dict(zip((image.tobytes() for image in images), labels, strict=True))
    np.testing.assert_array_equal(NpzSource(path, "ood").load()[0], images)


def test_splits_as_keras_names_them_with_its_column_of_labels(save):
    images, labels = some_images(10), np.arange(10)[:, None] % 4
    path = save(x_train=images[:6], y_train=labels[:6], x_test=images[6:], y_test=labels[6:])
    assert npz_splits(path) == ("train", "test")
    for split, rows in (("train", slice(6)), ("test", slice(6, None)), ("ood", slice(6, None))):
        source = NpzSource(path, split)
        np.testing.assert_array_equal(source.load()[0], images[rows])
        np.testing.assert_array_equal(source.load()[1], labels[rows, 0])
        # The largest label of all splits counts: 3 of them, and the test images have no 0.
        assert source.num_classes == 4
    assert npz_splits(save(x_ray=images)) == ("test",)


@pytest.mark.parametrize("keys", [("x_val", "y_val"), ("val_images", "val_labels")])
def test_val_is_the_validation_split(save, keys):
    images, labels = some_images(4), np.arange(4)
    path = save(**dict(zip(keys, (images, labels), strict=True)), train_images=some_images(3))
    assert set(npz_splits(path)) == {"validation", "train"}
    np.testing.assert_array_equal(NpzSource(path, "validation").load()[1], labels)


def test_a_registered_set_in_one_piece_is_its_test_split(save):
    path = save(images=some_images(20), labels=np.arange(20) % 10)
    source = NpzSource(path, "test", spec=DATASETS["svhn"])
    assert (source.name, source.num_images, source.num_classes) == ("svhn", 20, 10)
    assert npz_splits(path, DATASETS["svhn"]) == ("test",)
    with pytest.raises(ValueError, match="no split 'train'"):
        NpzSource(path, "train", spec=DATASETS["svhn"])


def test_ood_is_the_test_split_or_the_only_one(save):
    images = some_images(4)
    path = save(train_images=some_images(9, seed=1), test_images=images)
    np.testing.assert_array_equal(NpzSource(path, "ood").load()[0], images)
    assert NpzSource(save(train_images=images), "ood").num_images == 4


def test_missing_split_names_those_that_are_there(save):
    path = save(train_images=some_images(3), test_images=some_images(3))
    with pytest.raises(ValueError, match="no split 'validation'; splits there: train, test"):
        NpzSource(path, "validation")


def test_too_few_images_to_divide(save):
    path = save(images=some_images(2), labels=np.array([0, 1]))
    with pytest.raises(ValueError, match="'validation' would be empty. Received: 2 images"):
        NpzSource(path, "validation")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"test_images": np.zeros((2, 32, 32, 3), np.float32)}, "uint8.*0-255.*dtype=float32"),
        ({"test_images": np.zeros((2, 28, 28), np.uint8)}, "32x32.*Received: 28x28"),
        ({"test_images": np.zeros((2, 28), np.uint8)}, r"\(N, 32, 32, 3\).*\(2, 28\)"),
        ({"test_images": np.zeros((2, 3, 32, 32), np.uint8)}, "Channels come last"),
        ({"test_images": np.zeros((2, 32, 32, 4), np.uint8)}, r"shape=\(2, 32, 32, 4\)"),
        ({"test_images": np.zeros((2, 64, 64, 3), np.uint8)}, "32x32.*Received: 64x64"),
        ({"test_images": np.zeros((0, 32, 32, 3), np.uint8)}, "at least one image"),
        ({"test_images": np.asfortranarray(some_images(2))}, "C order.*Fortran"),
        ({"x": some_images(2), "y": np.arange(2)}, "expected `<split>_images`.*keys x, y"),
        ({"a": some_images(2), "b": some_images(2)}, "Received: keys a, b"),
    ],
)
def test_unsuitable_images(save, members, message):
    with pytest.raises(ValueError, match=f"some.npz.*{message}"):
        NpzSource(save(**members), "test")


@pytest.mark.parametrize(
    "labels", [np.eye(6)[:5], np.eye(6, dtype=int)[:5], np.arange(5.0), np.arange(5.0)[:, None]]
)
def test_labels_may_be_one_hot_or_whole_floats(save, labels):
    source = NpzSource(save(test_images=some_images(5), test_labels=labels), "test")
    np.testing.assert_array_equal(source.load()[1], np.arange(5))
    assert source.labels.dtype == np.int32 and source.num_classes == 5


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(4), r"shape \(5,\)\. Received: shape=\(4,\)"),
        (np.arange(5) / 2, "one integer label.*dtype=float64"),
        (np.eye(5) / 2, r"shape=\(5, 5\) that are not one-hot"),
        (np.array([0, 1, -1, 2, 3]), "Received: labels from -1 to 3"),
        (np.array(["a"] * 5), "one integer label.*dtype=<U1"),
        (np.array([{}] * 5), "never unpickled.*dtype=object"),
    ],
)
def test_unsuitable_labels(save, labels, message):
    with pytest.raises(ValueError, match=message):
        NpzSource(save(test_images=some_images(5), test_labels=labels), "test")


def test_labels_beyond_the_known_classes(save):
    path = save(test_images=some_images(2), test_labels=np.array([0, 10]))
    with pytest.raises(ValueError, match="labels from 0 to 9. Received: labels from 0 to 10"):
        NpzSource(path, "test", spec=DATASETS["svhn"])
    assert NpzSource(path, "test").num_classes == 11


def test_classes_are_counted_over_all_splits(save):
    path = save(
        train_images=some_images(2), train_labels=np.array([0, 7]),
        test_images=some_images(2), test_labels=np.array([1, 2]),
    )
    assert NpzSource(path, "test").num_classes == 8


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_truncated_file(save, kept):
    path = save(test_images=some_images(20))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data) if isinstance(kept, float) else kept)])
    with pytest.raises(ValueError, match=r"some\.npz: not a readable npz \(truncated download\?\)"):
        NpzSource(path, "test")


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_inside_a_member_is_met_while_reading(save, compressed):
    path = save(compressed, test_images=some_images(20))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    source = NpzSource(path, "test")
    with pytest.raises(ValueError, match="not a readable npz"):
        source.load()


def test_member_shorter_than_its_header_says(tmp_path, save):
    member = zipfile.ZipFile(save(test_images=some_images(4))).read("test_images.npy")
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
        archive.writestr("test_images.npy", member[:-100])
    with pytest.raises(ValueError, match="short.npz: not a readable npz.*ends after 0 of 4"):
        NpzSource(tmp_path / "short.npz", "test").load()


def test_batch_size_must_be_positive(save):
    source = NpzSource(save(test_images=some_images(2)), "test")
    with pytest.raises(ValueError, match="Received: batch_size=0"):
        next(source.batches(0))
