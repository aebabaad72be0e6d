import numpy as np
import pytest

from kerasood.data.built_in import GeneratedSource
from kerasood.data.validation_outliers import (
    OUTLIER_KINDS,
    blur,
    negative,
    pixelate,
    validation_outliers,
    zoom,
)

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 12, 3), np.uint8)


def rng():
    return np.random.default_rng(1)


def test_the_kinds():
    assert list(OUTLIER_KINDS) == ["pixelate", "blur", "zoom", "negative", "photo"]


@pytest.mark.parametrize("kind", OUTLIER_KINDS)
def test_every_kind_changes_every_image_and_not_its_argument(kind):
    before = IMAGES.copy()
    made = OUTLIER_KINDS[kind](rng(), IMAGES)
    assert (made.shape, made.dtype) == (IMAGES.shape, np.uint8)
    np.testing.assert_array_equal(IMAGES, before)
    assert np.all(np.any(made != IMAGES, axis=(1, 2, 3)))


def test_the_same_seed_gives_the_same_outliers_and_another_others():
    first, again, other = (validation_outliers(IMAGES, seed) for seed in (0, 0, 1))
    for kind in OUTLIER_KINDS:
        np.testing.assert_array_equal(first[kind], again[kind])
    assert np.any(first["photo"] != other["photo"])


def test_pixelate_averages_boxes():
    image = np.zeros((1, 10, 10, 3), np.uint8)
    image[0, :5] = 200
    image[0, 0, 0] = 0
    made = pixelate(rng(), image)[0]
    assert len(np.unique(made.reshape(-1, 3), axis=0)) == 3
    assert made[0, 0, 0] == 192  # 24 of 25 pixels are 200
    assert np.all(made[5:] == 0)


def test_blur_is_a_gaussian_of_three_pixels_in_thirty_two():
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, :16] = 240
    made = blur(rng(), image)[0, :, 16, 0].astype(int)
    # A step becomes the normal distribution: 3.5 pixels from it, at 3.5 / 3 deviations, 87.8 %.
    assert abs(made[12] - 0.878 * 240) < 8 and abs(made[19] - 0.122 * 240) < 8
    assert abs(made[0] - 240) < 2 and made[-1] < 2 and np.all(np.diff(made) <= 0)


def test_zoom_enlarges_the_middle():
    image = np.zeros((1, 16, 32, 3), np.uint8)
    image[0, 6:10, 12:20] = 100
    np.testing.assert_array_equal(zoom(rng(), image), np.full_like(image, 100))
    small = np.random.default_rng(0).integers(0, 256, (1, 2, 2, 3), np.uint8)
    assert zoom(rng(), small).shape == small.shape


def test_a_negative_inverts_every_channel():
    image = np.array([[[[1, 2, 3], [4, 5, 6]]]], np.uint8)
    np.testing.assert_array_equal(negative(rng(), image), [[[[254, 253, 252], [251, 250, 249]]]])


def test_patches_are_of_the_photograph_that_no_set_is_made_of():
    images = np.zeros((40, 8, 12, 3), np.uint8)
    chosen = validation_outliers(images)["photo"]
    tested = GeneratedSource("photos", 12, 40).load()[0][:, :8]
    # A temple under a grey sky, and a flower before dark leaves.
    assert chosen.mean() > 1.3 * tested.mean()
    assert not {patch.tobytes() for patch in chosen} & {patch.tobytes() for patch in tested}


@pytest.mark.parametrize("images", [IMAGES[:0], IMAGES / 255.0, IMAGES[0], IMAGES[..., :2]])
def test_other_images_are_refused(images):
    with pytest.raises(ValueError, match="Expected uint8 images.*Received: dtype="):
        validation_outliers(images)


def test_grey_images_give_grey_outliers():
    outliers = validation_outliers(IMAGES[..., :1])
    for made in outliers.values():
        assert made.shape == (*IMAGES.shape[:3], 1) and made.dtype == np.uint8
        assert np.any(made != IMAGES[..., :1])
    image = np.full((2, 8, 8, 1), 100, np.uint8)
    assert np.all(validation_outliers(image)["negative"] == 155)
