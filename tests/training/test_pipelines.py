import numpy as np
import pytest

pytest.importorskip("tensorflow")

from kerasood.training.order import epoch_order, paired_batches
from kerasood.training.pipelines import paired_training_batches, training_batches

COUNT = 23


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (COUNT, 8, 8, 3), np.uint8)


def epochs_of(images, first_epoch, epochs, seed=5):
    """Returns {epoch: rows in their order}; the labels are the rows."""
    labels = np.arange(COUNT)
    batches = list(training_batches(images, labels, 10, seed, first_epoch, epochs))
    assert [len(rows) for _, rows in batches] == [10, 10, 3] * (epochs - first_epoch)
    for batch, rows in batches:
        np.testing.assert_array_equal(batch, images[rows.numpy()])
        assert batch.dtype == "uint8" and rows.dtype == "int32"
    rows = [rows.numpy() for _, rows in batches]
    return {
        first_epoch + i: np.concatenate(rows[3 * i : 3 * i + 3])
        for i in range(epochs - first_epoch)
    }


def test_every_epoch_is_another_permutation_in_epoch_order(images):
    orders = epochs_of(images, 0, 3)
    for epoch, order in orders.items():
        assert sorted(order) == list(range(COUNT))
        np.testing.assert_array_equal(order, epoch_order(COUNT, 5, epoch))
    assert len({tuple(order) for order in orders.values()}) == 3


def test_a_resumed_run_sees_what_an_uninterrupted_one_does(images):
    whole, resumed = epochs_of(images, 0, 5), epochs_of(images, 3, 5)
    assert list(resumed) == [3, 4]
    for epoch in resumed:
        np.testing.assert_array_equal(resumed[epoch], whole[epoch])
    assert np.any(epochs_of(images, 3, 4, seed=6)[3] != whole[3])


def test_shapes_and_cardinality_are_known_before_reading(images):
    dataset = training_batches(images, np.arange(COUNT), 10, 0, 1, 5)
    assert int(dataset.cardinality()) == 4 * 3
    assert [spec.shape.as_list() for spec in dataset.element_spec] == [[None, 8, 8, 3], [None]]
    assert not list(training_batches(images, np.arange(COUNT), 10, 0, 5, 5))


def test_the_images_are_not_written_into_the_graph():
    images = np.zeros((2000, 32, 32, 3), np.uint8)
    dataset = training_batches(images, np.zeros(2000, int), 10, 0, 0, 1)
    graph = dataset._as_serialized_graph().numpy()
    assert len(graph) < images.nbytes / 100


def test_float_images_and_missing_labels_are_refused(images):
    with pytest.raises(ValueError, match="Expected uint8.*images.dtype=float64"):
        training_batches(images / 255, np.arange(COUNT), 10, 0, 0, 1)
    with pytest.raises(ValueError, match=r"len\(labels\)=22"):
        training_batches(images, np.arange(COUNT - 1), 10, 0, 0, 1)


def test_paired_batches_stream_as_they_are(images):
    labelled, outliers = (images, np.arange(COUNT)), images[::-1][:7]
    dataset = paired_training_batches(labelled, outliers, 10, 5, 1, 3)
    assert int(dataset.cardinality()) == 2 * 3
    expected = list(paired_batches(labelled, outliers, 10, 5, 1, 3))
    for (streamed, rows), (pair, labels) in zip(dataset, expected, strict=True):
        np.testing.assert_array_equal(rows, labels)
        for name in ("images", "outliers"):
            assert streamed[name].dtype == "uint8"
            np.testing.assert_array_equal(streamed[name], pair[name])
    again = list(paired_training_batches(labelled, outliers, 10, 5, 1, 3))
    np.testing.assert_array_equal(again[-1][0]["outliers"], expected[-1][0]["outliers"])


def test_paired_images_are_not_written_into_the_graph():
    images = np.zeros((2000, 32, 32, 3), np.uint8)
    dataset = paired_training_batches((images, np.zeros(2000, int)), images, 10, 0, 0, 1)
    assert len(dataset._as_serialized_graph().numpy()) < images.nbytes / 100


def test_float_or_missing_outliers_are_refused(images):
    labelled = (images, np.arange(COUNT))
    with pytest.raises(ValueError, match="uint8 outliers.*outliers.dtype=float64"):
        paired_training_batches(labelled, images / 255, 10, 0, 0, 1)
    with pytest.raises(ValueError, match=r"len\(outliers\)=0"):
        paired_training_batches(labelled, images[:0], 10, 0, 0, 1)
    with pytest.raises(ValueError, match="Expected uint8 images.*images.dtype=float64"):
        paired_training_batches((images / 255, labelled[1]), images, 10, 0, 0, 1)
