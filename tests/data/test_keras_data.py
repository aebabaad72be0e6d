"""Images and labels in the forms that Keras takes them."""

import keras
import numpy as np
import pytest

from kerasood.data import DataOptions, as_source

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
LABELS = np.arange(12) % 3
ONE_HOT = np.eye(3)[LABELS]


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(4 * index, 4 * index + 4)
        return IMAGES[rows], LABELS[rows]


def test_what_keras_takes():
    for value in ((IMAGES, LABELS), (IMAGES, LABELS[:, None]), Batches(),
                  (IMAGES, ONE_HOT)):
        source = as_source(value, "mine")
        assert (source.name, source.num_classes, source.num_images) == ("mine", 3, 12)
        np.testing.assert_array_equal(source.load()[0], IMAGES)
        np.testing.assert_array_equal(source.labels, LABELS)
    assert as_source(IMAGES).labels is None
    assert as_source(source) is source


def test_tf_data():
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    shuffled = as_source(dataset.shuffle(12, seed=1, reshuffle_each_iteration=True).batch(5))
    first, labels = shuffled.load()
    again, _ = shuffled.load()
    np.testing.assert_array_equal(first, again)
    rows = [int(np.flatnonzero((IMAGES == image).all(axis=(1, 2, 3)))[0]) for image in first]
    assert sorted(rows) == list(range(12)) and labels.tolist() == LABELS[rows].tolist()
    with pytest.raises(ValueError, match="use dataset.batch"):
        as_source(dataset)


@pytest.mark.parametrize("scale", [255.0, 127.5])
def test_scaled_images_are_refused_with_the_way_out(scale):
    with pytest.raises(ValueError, match="0-255.*before they were scaled.*preprocessing="):
        as_source((IMAGES / scale).astype("float32") - (scale < 200))


def test_a_black_image_in_a_batch_of_its_own_is_no_scaled_one():
    images = np.concatenate([IMAGES, np.zeros((1, 8, 8, 3))]).astype("float32")
    np.testing.assert_array_equal(as_source(iter([images[:12], images[12:]])).load()[0], images)
    with pytest.raises(ValueError, match="0-255.*before they were scaled.*values from 0 to 1"):
        as_source(iter([images[12:], images[:12] / 255]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"Expected images \(N, H, W, 3\).* Received: shape=\(0,\)"),
        ([IMAGES[0], IMAGES[0, :4]], "or items of one shape. Received: "),
        (iter([IMAGES, IMAGES[:, :4]]), r"batches of one shape. Received: \[\(4, 8, 3\), \(8"),
        (iter([(IMAGES, LABELS), (IMAGES, ONE_HOT)]), r"one shape. Received: \[\(\), \(3"),
    ],
)
def test_images_and_labels_of_several_shapes_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        as_source(value)


def test_class_names_of_data_may_be_an_array():
    data = Batches()
    data.class_names = np.array(["b", "a", "c"])
    assert as_source(data).class_names == ("b", "a", "c")
    mapped = as_source(data, options=DataOptions(class_names=("a", "b", "c")))
    np.testing.assert_array_equal(mapped.labels, np.array([1, 0, 2])[LABELS])


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return IMAGES, LABELS


def test_endless_data_are_refused():
    tf = pytest.importorskip("tensorflow")
    for data in (tf.data.Dataset.from_tensors(IMAGES).repeat(), Endless()):
        with pytest.raises(ValueError, match="data of one pass.* Received: an endless"):
            as_source(data)
