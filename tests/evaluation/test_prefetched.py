import threading

import pytest

from kerasood.evaluation.outputs import prefetched


def test_the_same_items_in_their_order():
    assert list(prefetched(range(23))) == list(range(23))


def test_nothing_gives_nothing():
    assert list(prefetched([])) == []


def test_the_next_item_is_made_while_the_caller_has_the_one_before():
    second_is_made = threading.Event()

    def items():
        yield 1
        second_is_made.set()
        yield 2

    iterator = prefetched(items())
    assert next(iterator) == 1
    assert second_is_made.wait(timeout=10)
    assert list(iterator) == [2]


def test_no_more_than_one_item_is_made_ahead():
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    for number in prefetched(items()):
        assert len(made) <= number + 2
    assert len(made) == 100


def test_an_error_surfaces_as_it_is_and_at_its_place():
    def items():
        yield 1
        yield 2
        raise ValueError("truncated after 2")

    received = []
    with pytest.raises(ValueError, match="^truncated after 2$"):
        for item in prefetched(items()):
            received.append(item)
    assert received == [1, 2]


def test_a_caller_that_stops_early_leaves_no_thread():
    before = threading.active_count()
    iterator = prefetched(range(100))
    assert next(iterator) == 0
    assert threading.active_count() == before + 1
    iterator.close()
    assert threading.active_count() == before
