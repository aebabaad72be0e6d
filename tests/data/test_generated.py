import numpy as np
import pytest
from PIL import Image

from kerasood.data import built_in
from kerasood.data.built_in import CHUNK, FIFTHS, MAKERS, GeneratedSource, digits, digits_heldout
from kerasood.data.division import balanced_parts
from kerasood.data.options import DataOptions


@pytest.mark.parametrize("name", MAKERS)
def test_sequence_depends_only_on_name_seed_and_position(name):
    images, labels = GeneratedSource(name, num_images=CHUNK + 9).load()
    assert images.shape == (CHUNK + 9, 32, 32, 3) and images.dtype == np.uint8
    assert labels is None
    source = GeneratedSource(name, num_images=CHUNK + 4)
    batches = [batch for batch, _ in source.batches(100)]
    assert [len(batch) for batch in batches] == [100, 100, 60]
    np.testing.assert_array_equal(np.concatenate(batches), images[: CHUNK + 4])
    np.testing.assert_array_equal(source.load()[0], images[: CHUNK + 4])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)
    other_seed = GeneratedSource(name, num_images=9, seed=1).load()[0]
    assert np.all(np.any(other_seed != images[:9], axis=(1, 2, 3)))


def test_default_number_of_images():
    assert GeneratedSource("uniform_noise").num_images == 2000


def test_uniform_noise_uses_all_values_equally():
    images = built_in.uniform_noise(np.random.default_rng(0), 100, 32)
    counts = np.bincount(images.ravel(), minlength=256)
    expected = images.size / 256
    assert np.abs(counts - expected).max() < 6 * np.sqrt(expected)


def test_gaussian_noise_clips_two_tails_of_a_two_sigma_range():
    images = built_in.gaussian_noise(np.random.default_rng(0), 100, 32)
    # P(|z| > 2) = 4.55 % is clipped; rounding adds the two outer half grey levels, 0.04 %.
    clipped = np.mean((images == 0) | (images == 255))
    assert clipped == pytest.approx(0.0455 + 0.0004, abs=0.002)
    assert images.mean() == pytest.approx(127.5, abs=0.5)


def test_blobs_equal_a_naive_smoothing():
    image = built_in.blobs(np.random.default_rng(3), 1, 8)[0]
    binary = (np.random.default_rng(3).random((1, 8, 8, 3)) < 0.7)[0].astype(np.float64)
    weights = np.exp(-0.5 * (np.arange(-6, 7) / 1.5) ** 2)
    weights /= weights.sum()
    for axis in range(3):
        padding = [(6, 6) if a == axis else (0, 0) for a in range(3)]
        padded = np.pad(binary, padding, mode="edge")
        binary = np.apply_along_axis(np.convolve, axis, padded, weights, mode="valid")
    expected = np.round(255 * np.where(binary < 0.75, 0, binary))
    assert 0 < np.mean(image == 0) < 1
    assert np.abs(image - expected).max() <= 1


def test_digits_split_60_20_20_within_every_class():
    splits = ("train", "validation", "test")
    parts = {split: digits(split, DataOptions()).load() for split in splits}
    counts = {split: np.bincount(labels) for split, (_, labels) in parts.items()}
    total = sum(counts.values())
    np.testing.assert_array_equal(total, [178, 182, 177, 183, 181, 182, 181, 179])
    for split, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
        assert np.abs(counts[split] - share * total).max() < 1.5
    images, labels = parts["train"]
    assert images.shape == (len(labels), 32, 32, 3) and images.dtype == np.uint8
    assert labels.dtype == np.int32
    for split in ("validation", "test"):
        first = {image.tobytes() for image in images}
        assert not first & {image.tobytes() for image in parts[split][0]}


def test_digits_are_grey_and_resized_from_the_stored_8x8_values():
    from sklearn.datasets import load_digits

    eights_and_nines = digits_heldout("test", DataOptions())
    images, labels = eights_and_nines.load()
    assert labels is None and eights_and_nines.num_images == 174 + 180
    stored = load_digits()
    first = stored.images[np.isin(stored.target, (8, 9))][0]
    assert first.min() == 0 and first.max() == 16
    grey = np.round(first / 16 * 255).astype(np.uint8)
    expected = np.asarray(Image.fromarray(grey).resize((32, 32), Image.Resampling.BILINEAR))
    for channel in range(3):
        np.testing.assert_array_equal(images[0, ..., channel], expected)


def test_deal_gives_each_part_its_share_and_depends_on_the_seed():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    parts = balanced_parts(labels, FIFTHS, seed=7)
    for label, size in enumerate((50, 30, 20)):
        of_class = parts[labels == label]
        assert [np.sum(of_class == part) for part in ("train", "validation", "test")] == [
            size * 3 // 5, size // 5, size // 5
        ]
    np.testing.assert_array_equal(parts, balanced_parts(labels, FIFTHS, seed=7))
    assert np.any(parts != balanced_parts(labels, FIFTHS, seed=8))


def test_photo_patches_come_from_the_photograph_at_its_own_scale():
    from sklearn.datasets import load_sample_image

    patches = GeneratedSource("photos", num_images=12).load()[0]
    photo = load_sample_image("flower.jpg")
    unscaled = sum(_is_window(patch, photo) for patch in patches)
    assert 0 < unscaled < len(patches)
    assert patches.std(axis=(1, 2)).mean() > 10


def _is_window(patch, photo):
    starts = photo[:-31, :-31] == patch[0, 0]
    tops, lefts = np.nonzero(starts.all(axis=-1))
    return any(
        np.array_equal(photo[top : top + 32, left : left + 32], patch)
        for top, left in zip(tops, lefts, strict=True)
    )
