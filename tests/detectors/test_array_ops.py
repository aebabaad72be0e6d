import inspect

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerasood import array_ops
from kerasood.detectors._math.largest import largest_mask, largest_values

GENERATOR = np.random.default_rng(0)
# Rows that are turned into columns, and rows that are not.
SHORT, LONG = (GENERATOR.normal(0, 3, (6, width)).astype("float32") for width in (5, 40))
TIED = np.array([[1, 3, 3, 2, 3], [0, 0, 0, 0, 0]], "float32")
COLUMNS = np.array([2, 0, 4], "int32")

CALLS = {
    "abs": ((SHORT,), {}),
    "add": ((SHORT, 0.5), {}),
    "equal": ((TIED, np.float32(3)), {}),
    "exp": ((SHORT,), {}),
    "expand_dims": ((SHORT, 1), {}),
    "log": ((SHORT**2,), {}),
    "log1p": ((SHORT**2,), {}),
    "log_softmax": ((SHORT,), {"axis": -1}),
    "logical_and": ((TIED > 1, TIED < 3), {}),
    "logical_or": ((TIED > 2, TIED < 1), {}),
    "logsumexp": ((SHORT,), {"axis": -1}),
    "matmul": ((SHORT, SHORT.T), {}),
    "max": ((SHORT,), {"axis": -1, "keepdims": True}),
    "maximum": ((SHORT, 0.5), {}),
    "mean": ((SHORT,), {"axis": -1}),
    "min": ((SHORT,), {"axis": -1}),
    "minimum": ((SHORT, 0.5), {}),
    "one_hot": ((COLUMNS, 5), {"dtype": "float32"}),
    "relu": ((SHORT,), {}),
    "softmax": ((SHORT,), {"axis": -1}),
    "sqrt": ((SHORT**2,), {}),
    "square": ((SHORT,), {}),
    "squared_norms": ((LONG,), {}),
    "squeeze": ((SHORT[:, :1],), {"axis": -1}),
    "sum": ((SHORT,), {"axis": -1}),
    "take": ((SHORT, COLUMNS), {"axis": 0}),
    "take_along_axis": ((SHORT[:3], COLUMNS[:, None]), {"axis": -1}),
    "transpose": ((SHORT,), {}),
    "where": ((SHORT > 0, SHORT, float("inf")), {}),
}


def assert_same(of_arrays, of_tensors):
    of_tensors = np.asarray(of_tensors)
    assert isinstance(of_arrays, np.ndarray)
    assert of_arrays.dtype == of_tensors.dtype
    np.testing.assert_allclose(of_arrays, of_tensors, rtol=1e-6, atol=1e-6)


def test_every_op_is_compared():
    named = {name for name, member in vars(array_ops).items() if inspect.isfunction(member)}
    ours = {name for name in named if not name.startswith("_")}
    assert CALLS.keys() | {"top_k"} == ours


@pytest.mark.parametrize("name", CALLS)
def test_arrays_give_arrays_with_what_keras_gives_for_tensors(name):
    arguments, options = CALLS[name]
    tensors = [tf.constant(part) if isinstance(part, np.ndarray) else part for part in arguments]
    op = getattr(array_ops, name)
    assert tf.is_tensor(op(*tensors, **options))
    assert_same(op(*arguments, **options), op(*tensors, **options))


@pytest.mark.parametrize("name", ["max", "min", "sum", "softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("axis", [0, -1])
def test_reductions_of_long_rows_and_along_columns(name, axis):
    op = getattr(array_ops, name)
    for rows in (SHORT, LONG):
        assert_same(op(rows, axis=axis), getattr(ops, name)(rows, axis=axis))
        if name in ("max", "min", "sum"):
            kept = op(rows, axis=axis, keepdims=True)
            assert_same(kept, getattr(ops, name)(rows, axis=axis, keepdims=True))


def test_products_of_few_columns_are_those_of_numpy(monkeypatch):
    monkeypatch.setattr(array_ops, "SMALL_PRODUCT", 3 * 40 * 2)
    for columns, rows in ((2, 7), (2, 0), (50, 7)):
        x, y = GENERATOR.normal(size=(rows, 40)), GENERATOR.normal(size=(40, columns))
        product = array_ops.matmul(x.astype("float32"), y.astype("float32"))
        assert product.dtype == np.float32
        np.testing.assert_allclose(product, x @ y, rtol=1e-4, atol=1e-5)


def test_a_tensor_among_arrays_gives_a_tensor():
    assert tf.is_tensor(array_ops.maximum(SHORT, tf.constant(0.5)))
    assert tf.is_tensor(array_ops.matmul(tf.constant(SHORT), SHORT.T))
    assert isinstance(array_ops.maximum(SHORT, 0.5), np.ndarray)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_of_equal_values_the_first_columns_are_the_largest(k):
    values, columns = array_ops.top_k(TIED, k)
    np.testing.assert_array_equal(columns, [[1, 2, 4, 3, 0][:k], [0, 1, 2, 3, 4][:k]])
    np.testing.assert_array_equal(values, [[3, 3, 3, 2, 1][:k], [0] * k])
    for of_arrays, of_tensors in zip((values, columns), ops.top_k(TIED, k), strict=True):
        np.testing.assert_array_equal(of_arrays, of_tensors)


def test_the_sum_of_booleans_counts():
    np.testing.assert_array_equal(array_ops.sum(TIED > 2, axis=-1), [3, 0])


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_the_largest_of_arrays_are_those_of_tensors(count):
    rows = np.vstack([TIED, SHORT, GENERATOR.integers(0, 3, (50, 5))]).astype("float32")
    mask, values = largest_mask(rows, count)
    of_tensors = largest_mask(tf.constant(rows), count)
    np.testing.assert_array_equal(mask, of_tensors[0])
    np.testing.assert_array_equal(np.sort(values), np.sort(of_tensors[1]))
    np.testing.assert_array_equal(np.sort(largest_values(rows, count)), np.sort(values))
    np.testing.assert_array_equal(mask[0], {
        1: [0, 1, 0, 0, 0], 2: [0, 1, 1, 0, 0], 4: [0, 1, 1, 1, 1], 5: [1, 1, 1, 1, 1]
    }[count])
