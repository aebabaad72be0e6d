import numpy as np
import pytest

from kerasood.training.batches import Batches
from kerasood.training.shuffling import epoch_order, outlier_rows, steps_per_epoch

IMAGES = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((2, 2, 3), np.uint8)
ROWS = np.arange(7, dtype=np.int64)


def items(batches, first_epoch, epochs):
    for epoch in range(first_epoch, epochs):
        batches.begin_epoch(epoch)
        yield from (batches[step] for step in range(len(batches)))


def epochs_of(first_epoch, epochs, batch_size=3, seed=0):
    """The rows of every batch; the labels are the rows."""
    batches = list(items(Batches(IMAGES, ROWS, batch_size, seed), first_epoch, epochs))
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


def outliers_of(num_outliers, count, first_step, steps, seed=0):
    rows = outlier_rows(num_outliers, count, seed, first_step)
    return [next(rows).tolist() for _ in range(steps)]


@pytest.mark.parametrize(("num_outliers", "count"), [(10, 4), (12, 4), (3, 7), (1, 2)])
def test_every_cycle_visits_every_outlier_once(num_outliers, count):
    steps = outliers_of(num_outliers, count, 0, 4 * num_outliers)
    assert all(len(rows) == count for rows in steps)
    stream = np.array(sum(steps, []))
    cycles = stream.reshape(-1, num_outliers)
    for cycle in cycles:
        np.testing.assert_array_equal(np.sort(cycle), np.arange(num_outliers))
    if num_outliers > 3:
        assert len({tuple(cycle) for cycle in cycles}) == len(cycles)


@pytest.mark.parametrize("first_step", [1, 2, 5, 23])
def test_outliers_of_a_later_step_are_those_of_an_uninterrupted_run(first_step):
    whole = outliers_of(10, 4, 0, first_step + 7)
    assert outliers_of(10, 4, first_step, 7) == whole[first_step:]
    assert outliers_of(10, 4, first_step, 7, seed=1) != whole[first_step:]


def test_outliers_are_in_another_order_than_as_many_images():
    for seed in range(3):
        (rows,) = outliers_of(50, 50, 0, 1, seed)
        orders = [epoch_order(50, seed, epoch).tolist() for epoch in range(5)]
        assert rows not in orders


OUTLIERS = np.arange(100, 110, dtype=np.uint8)[:, None, None, None] * np.ones((2, 2, 3), np.uint8)


def pairs_of(first_epoch, epochs, outliers=OUTLIERS):
    """(rows of the images, rows of the outliers) of every batch of 3."""
    batches = list(items(Batches(IMAGES, ROWS, 3, 0, outliers), first_epoch, epochs))
    for images, labels in batches:
        assert set(images) == {"images", "outliers"}
        np.testing.assert_array_equal(images["images"][:, 0, 0, 0], labels)
        assert images["outliers"].dtype == np.uint8 and labels.dtype == np.int32
    return [(labels.tolist(), (x["outliers"][:, 0, 0, 0] - 100).tolist()) for x, labels in batches]


def test_every_batch_has_twice_its_size_of_outliers_also_the_partial_one():
    pairs = pairs_of(0, 2)
    assert [(len(rows), len(out)) for rows, out in pairs] == [(3, 6), (3, 6), (1, 6)] * 2
    assert [rows for rows, _ in pairs] == epochs_of(0, 2)
    stream = sum((out for _, out in pairs), [])
    assert sorted(stream[:10]) == sorted(stream[10:20]) == list(range(10))


def test_pairs_go_on_after_an_epoch_as_in_an_uninterrupted_run():
    whole = pairs_of(0, 4)
    assert pairs_of(0, 4) == whole
    for first_epoch in (1, 2, 3):
        assert pairs_of(first_epoch, 4) == whole[3 * first_epoch :]
    assert pairs_of(4, 4) == []


def test_the_images_order_does_not_depend_on_the_outliers():
    assert [rows for rows, _ in pairs_of(0, 2, OUTLIERS[:4])] == epochs_of(0, 2)


def test_a_pool_leaves_the_other_outliers_out():
    batches = Batches(IMAGES, ROWS, 3, 0, OUTLIERS)
    batches.begin_epoch(1, pool=np.array([2, 7, 9]))
    rows = [batches[step][0]["outliers"][:, 0, 0, 0] - 100 for step in range(3)]
    assert sorted(np.concatenate(rows)) == [2] * 6 + [7] * 6 + [9] * 6


@pytest.mark.parametrize(
    ("images", "labels", "outliers", "message"),
    [
        (IMAGES, ROWS[:-1], None, r"len\(images\)=7, len\(labels\)=6"),
        (IMAGES[:0], ROWS[:0], None, r"at least one. Received: len\(images\)=0"),
        (IMAGES, ROWS, OUTLIERS[:0], r"len\(outliers\)=0"),
        (IMAGES, ROWS, OUTLIERS / 255, "outliers.dtype=float64"),
    ],
)
def test_arrays_that_make_no_batches_are_refused(images, labels, outliers, message):
    with pytest.raises(ValueError, match=message):
        Batches(images, labels, 3, 0, outliers)


def test_the_caller_s_images_are_not_copied():
    assert Batches(IMAGES, ROWS, 3, 0).images is IMAGES
