import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasood.networks.augmentation import RandomCropFlip, Standardize

# No two pixels are equal and none is zero, so that every window is a different image.
IMAGE = np.arange(1, 7 * 9 * 3 + 1, dtype="uint8").reshape(7, 9, 3)
BATCH = np.repeat(IMAGE[None], 64, axis=0)


def windows(padding=4, flip=True):
    """The bytes of every possible result -> (row offset, column offset, mirrored)."""
    padded = np.pad(IMAGE, ((padding, padding), (padding, padding), (0, 0)))
    found = {}
    for row in range(2 * padding + 1):
        for column in range(2 * padding + 1):
            window = padded[row : row + 7, column : column + 9]
            found[window.tobytes()] = (row, column, False)
            if flip:
                found[window[:, ::-1].tobytes()] = (row, column, True)
    return found


def placed(images, padding=4, flip=True):
    """(N, 3) offsets and mirroring of augmented copies of IMAGE; fails where there is no window."""
    found = windows(padding, flip)
    return np.array([found[np.asarray(image).tobytes()] for image in images])


def augmented(layer, mode):
    """64 augmented copies of IMAGE, drawn eagerly, in a graph or by XLA."""
    if mode == "eager":
        return layer(BATCH, training=True)
    step = tf.function(
        lambda images: layer(images, training=True),
        input_signature=[tf.TensorSpec((None, 7, 9, 3), tf.uint8)],
        jit_compile=mode == "xla",
    )
    return step(BATCH)


def test_the_windows_of_the_test_image_are_all_different():
    assert len(windows()) == 2 * 9 * 9


@pytest.mark.parametrize("mode", ["eager", "graph", "xla"])
def test_every_image_is_a_window_of_the_padded_image_or_its_mirror(mode):
    images = augmented(RandomCropFlip(4, seed=0), mode)
    assert images.dtype == tf.uint8
    assert images.shape == BATCH.shape
    assert len(np.unique(placed(images), axis=0)) > 30


def test_all_windows_and_mirrors_occur_equally_often():
    images = RandomCropFlip(4, seed=0)(np.repeat(IMAGE[None], 4000, axis=0), training=True)
    places = placed(images)
    assert len(np.unique(places, axis=0)) == 2 * 9 * 9
    # Binomial: 4000 / 9 with a standard deviation of 20, and 2000 with one of 32.
    for axis in (0, 1):
        counts = np.bincount(places[:, axis])
        assert np.all(np.abs(counts - 4000 / 9) < 5 * 20)
    assert abs(places[:, 2].sum() - 2000) < 5 * 32
    # Rows, columns and mirroring are drawn independently of each other.
    assert np.abs(np.corrcoef(places.T) - np.eye(3)).max() < 5 / 4000**0.5


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_a_compiled_step_draws_anew_each_time(mode):
    layer = RandomCropFlip(4, seed=0)
    step = tf.function(lambda: layer(BATCH, training=True), jit_compile=mode == "xla")
    first, second = placed(step()), placed(step())
    assert np.mean(np.any(first != second, axis=1)) > 0.9


def test_every_epoch_of_fit_sees_other_windows():
    seen = []

    class Recorder(keras.Model):
        def __init__(self):
            super().__init__()
            self.augmentation = RandomCropFlip(4, seed=0)

        def call(self, images, training=None):
            return self.augmentation(images, training=training)

        def train_step(self, data):
            tf.py_function(lambda x: seen.append(x.numpy()), [self(data, training=True)], [])
            return {"loss": 0.0}

    model = Recorder()
    model.compile(jit_compile=False)
    model.fit(BATCH, epochs=3, batch_size=64, verbose=0)
    first, second, third = (placed(images) for images in seen)
    assert np.any(first != second) and np.any(second != third) and np.any(first != third)


@pytest.mark.parametrize("training", [False, None])
def test_at_inference_images_pass_as_they_are(training):
    images = RandomCropFlip(4, seed=0)(BATCH, training=training)
    np.testing.assert_array_equal(images, BATCH)


def test_one_seed_gives_one_stream():
    first, second, other = (RandomCropFlip(4, seed=seed) for seed in (3, 3, 4))
    for _ in range(2):
        drawn = augmented(first, "eager")
        np.testing.assert_array_equal(drawn, augmented(second, "eager"))
    assert np.any(drawn != augmented(other, "eager"))


def test_the_random_stream_is_the_layers_own():
    first, second = RandomCropFlip(4, seed=3), RandomCropFlip(4, seed=3)
    drawn = augmented(first, "eager")
    keras.random.uniform((5,))
    keras.utils.set_random_seed(9)
    np.testing.assert_array_equal(drawn, augmented(second, "eager"))


def test_without_padding_an_image_is_itself_or_its_mirror():
    images = np.asarray(augmented(RandomCropFlip(0, seed=0), "eager"))
    mirrored = placed(images, padding=0)[:, 2]
    assert 0 < mirrored.sum() < 64


def test_without_flip_no_image_is_mirrored():
    places = placed(augmented(RandomCropFlip(4, flip=False, seed=0), "eager"), flip=False)
    assert len(np.unique(places[:, :2], axis=0)) > 30


def test_without_padding_and_flip_nothing_happens():
    images = augmented(RandomCropFlip(0, flip=False, seed=0), "eager")
    np.testing.assert_array_equal(images, BATCH)


def test_a_negative_padding_is_refused():
    with pytest.raises(ValueError, match="padding >= 0 pixels. Received: padding=-1"):
        RandomCropFlip(-1)


def test_standardized_pixels_worked_by_hand():
    layer = Standardize(mean=(100, 0, 50), std=(50, 1, 25))
    image = np.array([[[[200, 3, 0], [0, 255, 50]]]], "uint8")
    expected = [[[[2, 3, -2], [-2, 255, 0]]]]
    np.testing.assert_array_equal(layer(image), expected)
    # (255 - 125.3) / 63, (0 - 123) / 62.1, (128 - 113.9) / 66.7.
    cifar = Standardize()(np.array([[[[255, 0, 128]]]], "uint8"))
    np.testing.assert_allclose(cifar, [[[[2.0587302, -1.9806763, 0.2113943]]]], rtol=1e-6)


def test_in_low_precision_only_the_result_is_rounded():
    layer = Standardize(mean=(200.5,), std=(0.5,), dtype="mixed_bfloat16")
    # bfloat16 has no 200.5 and no 201.
    standardized = layer(np.array([[[[201]]]], "uint8"))
    assert standardized.dtype == tf.bfloat16
    assert float(standardized[0, 0, 0, 0]) == 1


@pytest.mark.parametrize(
    ("mean", "std"), [((1, 2, 3), (1, 2)), ((1,), (0,)), ((1, 2), (1, -1))]
)
def test_statistics_that_cannot_be_are_refused(mean, std):
    with pytest.raises(ValueError, match="one mean and one std > 0 per channel. Received: mean="):
        Standardize(mean, std)


def test_images_with_another_number_of_channels_are_refused():
    with pytest.raises(ValueError, match=r"3 channels. Received: shape=\(2, 4, 4, 1\)"):
        Standardize()(np.zeros((2, 4, 4, 1), "uint8"))


@pytest.mark.parametrize(
    "layer",
    [Standardize((1.5, 2, 3), (4, 5, 6.5)), RandomCropFlip(2, flip=False, seed=5)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_comes_back_from_a_saved_model(layer, tmp_path):
    images = keras.Input((7, 9, 3), dtype="uint8")
    keras.Model(images, layer(images)).save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True).layers[-1]
    assert type(copy) is type(layer)
    assert copy.get_config() == layer.get_config()
    np.testing.assert_array_equal(copy(BATCH), layer(BATCH))
