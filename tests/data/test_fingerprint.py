import hashlib
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_tfds import pixels, prepare

from kerasood.data import built_in, image_files
from kerasood.data.arrays import ArrayFileSource as NpzSource
from kerasood.data.built_in import GeneratedSource
from kerasood.data.digest import ImageDigest
from kerasood.data.folders import FolderSource
from kerasood.data.open import open_source
from kerasood.data.options import DataOptions
from kerasood.data.registry import DATASETS
from kerasood.data.source import ArraySource


def some_images(count, seed=0, side=32):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def digest(*batches):
    found = ImageDigest()
    for images in batches:
        found.update(images)
    return found


def differ(*sources):
    prints = [source.fingerprint() for source in sources]
    assert all(len(text) == 64 and int(text, 16) >= 0 for text in prints)
    return len(set(prints)) == len(prints)


def test_digest_does_not_depend_on_batches():
    images = some_images(10)
    whole = digest(images)
    assert whole.count == 10 and len(whole.hexdigest) == 64
    for parts in ([images[:3], images[3:]], [images[i : i + 1] for i in range(10)],
                  [images[:0], images]):
        assert (digest(*parts).hexdigest, digest(*parts).count) == (whole.hexdigest, 10)
    assert digest(np.asfortranarray(images)).hexdigest == whole.hexdigest
    assert digest(np.repeat(images, 2, axis=0)[::2]).hexdigest == whole.hexdigest
    with_more = digest(images)
    _ = with_more.hexdigest
    with_more.update(images[:1])
    assert with_more.hexdigest == digest(images, images[:1]).hexdigest != whole.hexdigest


def test_digest_sees_order_pixels_count_and_shape():
    images = some_images(4)
    changed = images.copy()
    changed[3, 31, 31, 2] ^= 1
    variants = [images, images[::-1], changed, images[:3], images.reshape(16, 16, 16, 3),
                images.reshape(4, 16, 64, 3), images[:0]]
    assert len({digest(variant).hexdigest for variant in variants}) == len(variants)


def test_digest_equals_a_naive_hash():
    images = some_images(3)
    values = bytes(images.ravel().tolist())
    assert digest(images).hexdigest == hashlib.sha256(values + b"(32, 32, 3)").hexdigest()


@pytest.mark.parametrize(
    "images", [np.zeros((2, 32, 32, 3)), np.zeros((32, 32, 3), np.uint8), some_images(2, side=16)]
)
def test_digest_refuses_what_are_not_the_same_images(images):
    with pytest.raises(ValueError, match=r"Expected uint8 images of shape \(B, 32, 32, 3\)"):
        digest(some_images(1), images)


def test_arrays():
    images = some_images(5)
    labels = np.arange(5)
    assert not differ(ArraySource("a", images, labels), ArraySource("b", images.copy(), labels))
    assert differ(ArraySource("a", images), ArraySource("a", images[:4]),
                  ArraySource("a", images[::-1]))


def test_generated(monkeypatch):
    blobs = GeneratedSource("blobs")
    assert not differ(blobs, GeneratedSource("blobs", 32, 2000, 0))
    assert differ(blobs, GeneratedSource("blobs", seed=1), GeneratedSource("blobs", 16),
                  GeneratedSource("blobs", num_images=5), GeneratedSource("uniform_noise"))
    before = blobs.fingerprint()
    monkeypatch.setattr(built_in, "VERSION", built_in.VERSION + 1)
    assert blobs.fingerprint() != before
    assert differ(*(open_source(name) for name in ("digits", "digits_heldout", "photos")),
                  open_source("digits", "train"))
    assert not differ(open_source("digits"), open_source("digits"))


def test_npz_is_told_by_checksums_wherever_it_lies(tmp_path):
    images, labels = some_images(40), np.arange(40) % 2
    path = tmp_path / "a.npz"
    np.savez(path, train_images=images, test_images=images[:7], other_images=images[::-1])
    np.savez_compressed(tmp_path / "b.npz", train_images=images)
    shutil.copy(path, tmp_path / "c.npz")
    train = NpzSource(path, "train")
    assert not differ(train, NpzSource(path, "train"))
    assert not differ(train, NpzSource(tmp_path / "c.npz", "train"))
    assert not differ(train, NpzSource(tmp_path / "b.npz", "train"))
    assert differ(train, NpzSource(path, "test"), NpzSource(path, "other"))
    np.savez(tmp_path / "d.npz", images=images, labels=labels)
    parts = ("train", "validation", "test", "ood")
    assert differ(*(NpzSource(tmp_path / "d.npz", split) for split in parts))
    changed = images.copy()
    changed[20, 5, 5, 0] ^= 1
    np.savez(path, train_images=changed)
    assert differ(train, NpzSource(tmp_path / "c.npz", "train"))


def test_npy_is_told_by_its_time_of_change(tmp_path):
    np.save(tmp_path / "a.npy", some_images(100))
    first = NpzSource(tmp_path / "a.npy", "test")
    assert not differ(first, NpzSource(tmp_path / "a.npy", "test"))
    before = first.fingerprint()
    os.utime(tmp_path / "a.npy", ns=(10**18, 10**18 + 1))
    assert first.fingerprint() != before


def test_subsets():
    source = ArraySource("a", some_images(5), np.arange(5))
    assert differ(source, source.subset([0, 1]), source.subset([0, 2]), source.subset([1, 2]))
    assert not differ(source.subset([1, 3]), source.subset([1, 2, 3]).subset([0, 2]))


def test_folder_is_told_by_files_sizes_and_times_without_decoding(tmp_path, monkeypatch):
    for i in range(3):
        Image.fromarray(some_images(1, i)[0]).save(tmp_path / f"{i}.png")
    whole = FolderSource(tmp_path, "test")
    fitted = FolderSource(tmp_path, "test", DataOptions(image_size=16))
    registered = FolderSource(tmp_path, "test", spec=DATASETS["svhn"])
    monkeypatch.setattr(image_files, "decode_all", None)
    assert not differ(whole, FolderSource(tmp_path, "ood", DataOptions(strict=True)))
    assert differ(whole, fitted, registered)
    before = whole.fingerprint()
    os.utime(tmp_path / "0.png", ns=(5, 5))
    touched = whole.fingerprint()
    (tmp_path / "0.png").rename(tmp_path / "9.png")
    assert len({before, touched, FolderSource(tmp_path, "test").fingerprint()}) == 3


def test_tfds_directory(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    images = [pixels(seed, 32, 32) for seed in range(4)]
    for folder, stored in (("a", images), ("b", images[1:])):
        prepare(tmp_path / folder, "svhn_cropped", {"test": stored, "train": images}, 10,
                (32, 32, 3))
    first, again, second = (
        open_source("svhn", "test", DataOptions(tmp_path / folder, download=False))
        for folder in "aab"
    )
    train = open_source("svhn", "train", DataOptions(tmp_path / "a", download=False))
    small = open_source("svhn", "test", DataOptions(tmp_path / "a", download=False, image_size=16))
    assert not differ(first, again) and differ(first, second, train, small)


def test_other_labels_are_another_source(tmp_path):
    images, labels = some_images(6), np.arange(6) % 3
    assert differ(
        ArraySource("set", images),
        ArraySource("set", images, labels),
        ArraySource("set", images, labels[::-1].copy()),
    )
    for name, values in (("a", labels), ("b", labels[::-1])):
        np.savez(tmp_path / f"{name}.npz", test_images=images, test_labels=values)
    assert differ(*(NpzSource(tmp_path / f"{name}.npz", "test") for name in "ab"))
