import numpy as np
import pytest

from kerasood.data.built_in import GeneratedSource
from kerasood.data.validation_outliers import (
    OUTLIER_KINDS,
    invert,
    jigsaw,
    pairwise_means,
    pixelate,
    rgb_ghost,
    validation_outliers,
)

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 12, 3), np.uint8)


def rng():
    return np.random.default_rng(1)


def test_the_kinds_are_those_of_the_reference_without_noise_and_a_photograph():
    assert list(OUTLIER_KINDS) == [
        "pairwise_means", "jigsaw", "pixelate", "rgb_ghost", "invert", "photo"
    ]


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
    assert np.any(first["jigsaw"] != other["jigsaw"])


def test_a_pairwise_mean_is_that_of_the_image_and_another_one():
    values = np.array([0, 10, 100, 250], np.uint8)
    made = pairwise_means(rng(), np.broadcast_to(values[:, None, None, None], (4, 2, 2, 3)))
    for value, mean in zip(values.astype(int), made[:, 0, 0, 0], strict=True):
        assert mean in {(value + other) // 2 for other in values.astype(int) if other != value}


def test_a_jigsaw_keeps_all_tiles():
    made = jigsaw(rng(), IMAGES)

    def tiles(image):
        return sorted(
            image[row : row + 2, column : column + 3].tobytes()
            for row in range(0, 8, 2)
            for column in range(0, 12, 3)
        )

    for before, after in zip(IMAGES, made, strict=True):
        assert tiles(before) == tiles(after)
        assert not np.array_equal(before, after)


def test_a_jigsaw_leaves_the_rest_of_sizes_that_four_does_not_divide():
    images = np.random.default_rng(0).integers(0, 256, (2, 10, 9, 3), np.uint8)
    made = jigsaw(rng(), images)
    np.testing.assert_array_equal(made[:, 8:], images[:, 8:])
    np.testing.assert_array_equal(made[:, :, 8:], images[:, :, 8:])


def test_pixelate_averages_boxes():
    image = np.zeros((1, 10, 10, 3), np.uint8)
    image[0, :5] = 200
    image[0, 0, 0] = 0
    made = pixelate(rng(), image)[0]
    assert len(np.unique(made.reshape(-1, 3), axis=0)) == 3
    assert made[0, 0, 0] == 192  # 24 of 25 pixels are 200
    assert np.all(made[5:] == 0)


def test_rgb_ghost_and_invert_worked_by_hand():
    image = np.array([[[[1, 2, 3], [4, 5, 6]]]], np.uint8)
    np.testing.assert_array_equal(rgb_ghost(rng(), image), [[[[5, 3, 1], [2, 6, 4]]]])
    np.testing.assert_array_equal(invert(rng(), image), [[[[1, 253, 252], [4, 250, 249]]]])


def test_patches_are_of_the_photograph_that_no_set_is_made_of():
    images = np.zeros((40, 8, 12, 3), np.uint8)
    chosen = validation_outliers(images)["photo"]
    tested = GeneratedSource("photos", 12, 40).load()[0][:, :8]
    # A temple under a grey sky, and a flower before dark leaves.
    assert chosen.mean() > 1.3 * tested.mean()
    assert not {patch.tobytes() for patch in chosen} & {patch.tobytes() for patch in tested}


@pytest.mark.parametrize("images", [IMAGES[:1], IMAGES / 255.0, IMAGES[0], IMAGES[..., :2]])
def test_other_images_are_refused(images):
    with pytest.raises(ValueError, match="at least two uint8 images.*Received: dtype="):
        validation_outliers(images)


def test_grey_images_give_grey_outliers():
    outliers = validation_outliers(IMAGES[..., :1])
    for made in outliers.values():
        assert made.shape == (*IMAGES.shape[:3], 1) and made.dtype == np.uint8
        assert np.any(made != IMAGES[..., :1])
    # Red stays, the others are inverted: 0.299 g + 0.701 (255 - g), of g = 100 is 138.6.
    image = np.full((2, 8, 8, 1), 100, np.uint8)
    assert np.all(validation_outliers(image)["invert"] == 139)
