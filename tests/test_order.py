import numpy as np
import pytest

from kerasood.data.order import array_batches, epoch_order, steps_per_epoch

IMAGES = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((2, 2, 3), np.uint8)
ROWS = np.arange(7, dtype=np.int64)


def epochs_of(first_epoch, epochs, batch_size=3, seed=0):
    """The rows of every batch; the labels are the rows."""
    batches = list(array_batches(IMAGES, ROWS, batch_size, seed, first_epoch, epochs))
    for images, labels in batches:
        np.testing.assert_array_equal(images[:, 0, 0, 0], labels)
        assert images.dtype == np.uint8 and labels.dtype == np.int32
    return [labels.tolist() for _, labels in batches]


@pytest.mark.parametrize("num_images", [1, 2, 7, 1000])
def test_an_order_is_a_permutation(num_images):
    order = epoch_order(num_images, seed=3, epoch=2)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(num_images))


def test_an_order_depends_on_seed_and_epoch_alone():
    np.testing.assert_array_equal(epoch_order(50, 1, 2), epoch_order(50, 1, 2))
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9, "seed 0 in epoch 1 is another order than seed 1 in epoch 0"


def test_no_image_has_a_favourite_place():
    first = [epoch_order(4, 0, epoch)[0] for epoch in range(400)]
    # Binomial(400, 1/4): mean 100, standard deviation 8.7.
    assert np.all(np.abs(np.bincount(first) - 100) < 40)


@pytest.mark.parametrize(
    ("num_images", "batch_size", "steps"), [(7, 3, 3), (6, 3, 2), (1, 128, 1), (50_000, 128, 391)]
)
def test_steps_count_the_partial_batch(num_images, batch_size, steps):
    assert steps_per_epoch(num_images, batch_size) == steps


def test_batches_follow_the_orders_of_their_epochs():
    batches = epochs_of(0, 2)
    assert [len(rows) for rows in batches] == [3, 3, 1, 3, 3, 1]
    assert sum(batches[:3], []) == epoch_order(7, 0, 0).tolist()
    assert sum(batches[3:], []) == epoch_order(7, 0, 1).tolist()


def test_a_later_start_gives_the_rest():
    assert epochs_of(2, 5) == epochs_of(0, 5)[2 * 3 :]
    assert epochs_of(5, 5) == []


def test_the_batch_size_does_not_change_the_order():
    assert sum(epochs_of(0, 2, batch_size=100), []) == sum(epochs_of(0, 2, batch_size=1), [])
