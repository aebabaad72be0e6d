import tracemalloc

import numpy as np
import pytest

from kerasood.data import arrays
from kerasood.data.arrays import ArrayFileSource
from kerasood.data.open import availability, available_splits, open_source
from kerasood.data.options import DataOptions
from kerasood.data.registry import DATASETS


def some_images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


@pytest.fixture
def save(tmp_path):
    def write(array, name="some.npy"):
        np.save(tmp_path / name, array)
        return tmp_path / name

    return write


def test_streams_the_stored_images_in_order(save, monkeypatch):
    monkeypatch.setattr(arrays, "ROWS_PER_READ", 7)
    images = some_images(25)
    path = save(images)
    for split in ("test", "ood", "outliers"):
        source = open_source(str(path), split)
        assert (source.name, source.num_images, source.num_classes) == ("some", 25, None)
        loaded, labels = source.load()
        np.testing.assert_array_equal(loaded, images)
        assert labels is None and type(loaded) is np.ndarray
    assert [len(batch) for batch, _ in source.batches(10)] == [10, 10, 5]
    assert available_splits(str(path)) == ("test",)
    assert availability(str(path), "outliers") is None
    assert "no split 'train'; splits there: test" in availability(str(path), "train")


def test_batches_are_the_callers_own(save):
    path = save(some_images(3))
    next(ArrayFileSource(path, "test").batches(3))[0][:] = 0
    np.testing.assert_array_equal(ArrayFileSource(path, "test").load()[0], some_images(3))


def test_streaming_holds_a_few_reads_not_the_file(save):
    source = ArrayFileSource(save(np.zeros((20_000, 32, 32, 3), np.uint8)), "outliers")
    tracemalloc.start()
    count = sum(len(images) for images, _ in source.batches(256))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000 and peak < 8 * arrays.ROWS_PER_READ * 32 * 32 * 3


def test_a_registered_set_under_its_own_or_its_published_name(save, tmp_path):
    save(some_images(4, seed=1), "300K_random_images.npy")
    source = open_source("random_images_300k", "outliers", DataOptions(tmp_path, download=False))
    assert (source.name, source.num_images) == ("random_images_300k", 4)
    save(some_images(5, seed=2), "random_images_300k.npy")
    assert open_source("random_images_300k", "train", DataOptions(tmp_path)).num_images == 5
    save(some_images(6, seed=3), "isun.npy")
    assert open_source("isun", "ood", DataOptions(tmp_path, download=False)).num_images == 6


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 32, 32, 3), np.float32), "uint8.*dtype=float32"),
        (np.zeros((2, 3, 32, 32), np.uint8), "Channels come last"),
        (np.zeros((2, 64, 64, 3), np.uint8), "32x32.*Received: 64x64"),
        (np.zeros((0, 32, 32, 3), np.uint8), "at least one image"),
        (np.asfortranarray(some_images(2)), "C order"),
        (np.array([{}] * 5), "dtype=object"),
    ],
)
def test_unsuitable_arrays(save, array, message):
    with pytest.raises(ValueError, match=f"some.npy: .*{message}"):
        ArrayFileSource(save(array), "test", spec=DATASETS["isun"])


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.999])
def test_truncated_file(save, kept):
    path = save(some_images(20))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data) if isinstance(kept, float) else kept)])
    with pytest.raises(ValueError, match=r"some\.npy: not a readable npy \(truncated download\?\)"):
        ArrayFileSource(path, "test")


@pytest.mark.parametrize(("position", "value"), [(10, 0), (10, 255), (11, 10)])
def test_a_damaged_header(save, position, value):
    path = save(some_images(2))
    data = bytearray(path.read_bytes())
    data[position] = value
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"some\.npy: not a readable npy"):
        ArrayFileSource(path, "test")
