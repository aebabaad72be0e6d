"""The ops that scores are made of: `keras.ops` for tensors, the same in NumPy for arrays.

A score is a dozen small ops. Called one by one on a backend, each costs more than what it computes,
and arrays are copied first; NumPy computes them where they lie. One formula serves both: an op
returns an array for arrays and numbers, and a tensor where there is a tensor among its arguments.
"""

import functools

import numpy as np
from keras import ops

OF_ARRAYS = (np.ndarray, np.number, float, int)
# Reductions of shorter rows cost NumPy a call each; turned into columns they are vectors.
SHORT_ROW = 32
# Multiplications that OpenBLAS makes without copying the factors into an order of its own first,
# which outweighs a product of few columns.
SMALL_PRODUCT = 2**19


def _op(for_arrays, for_tensors):
    """An op of two: one where all its positional arguments are arrays or numbers, and Keras's."""

    @functools.wraps(for_tensors)
    def op(*args, **options):
        for arg in args:
            if not isinstance(arg, OF_ARRAYS):
                return for_tensors(*args, **options)
        return for_arrays(*args, **options)

    return op


def _extremes(ufunc):
    def extremes(x, axis=None, keepdims=False):
        if _has_short_rows(x, axis):
            values = ufunc.reduce(np.ascontiguousarray(x.T), axis=0)
            return values[:, None] if keepdims else values
        return ufunc.reduce(x, axis=axis, keepdims=keepdims)

    return extremes


def _has_short_rows(x, axis):
    return axis == -1 and x.ndim == 2 and x.shape[1] < SHORT_ROW


def _sum(x, axis=None, keepdims=False):
    if axis == -1 and x.ndim == 2 and x.dtype.kind == "f":
        sums = x @ np.ones(x.shape[1], x.dtype)
        return sums[:, None] if keepdims else sums
    return np.sum(x, axis=axis, keepdims=keepdims)


def _logsumexp(x, axis):
    if _has_short_rows(x, axis):
        x, axis = np.ascontiguousarray(x.T), 0
    largest = np.max(x, axis=axis, keepdims=True)
    return np.log(_sum(np.exp(x - largest), axis)) + np.squeeze(largest, axis=axis)


def _tensors_logsumexp(x, axis):
    """Written out: `keras.ops.logsumexp` guards infinities with ops that small runtimes lack."""
    largest = ops.max(x, axis=axis, keepdims=True)
    log_sum = ops.log(ops.sum(ops.exp(x - largest), axis=axis))
    return log_sum + ops.squeeze(largest, axis=axis)


def _matmul(x, y):
    if x.ndim != 2 or y.ndim != 2 or y.shape[1] >= SHORT_ROW:
        return np.matmul(x, y)
    product = np.empty((len(x), y.shape[1]), np.result_type(x, y))
    rows = SMALL_PRODUCT // y.size or 1
    for start in range(0, len(x), rows):
        np.matmul(x[start : start + rows], y, out=product[start : start + rows])
    return product


def _squared_norms(x):
    return np.einsum("nd,nd->n", x, x)


def _tensors_squared_norms(x):
    """Squared Euclidean length of each row: (N, D) -> (N,)."""
    return ops.sum(ops.square(x), axis=-1)


def _softmax(x, axis=-1):
    odds = np.exp(x - max(x, axis=axis, keepdims=True))
    return odds / sum(odds, axis=axis, keepdims=True)


def _log_softmax(x, axis=-1):
    below = x - max(x, axis=axis, keepdims=True)
    return below - np.log(sum(np.exp(below), axis=axis, keepdims=True))


def _top_k(x, k, sorted=True):
    """Values and columns in falling order; of equal values the first columns."""
    columns = np.argmax(x, axis=-1)[..., None]
    if k > 1:
        columns = np.argsort(-x, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(x, columns, axis=-1), columns


def _one_hot(x, num_classes, dtype="float32"):
    return (x[..., None] == np.arange(num_classes)).astype(dtype)


abs = _op(np.abs, ops.abs)
add = _op(np.add, ops.add)
equal = _op(np.equal, ops.equal)
exp = _op(np.exp, ops.exp)
expand_dims = _op(np.expand_dims, ops.expand_dims)
log = _op(np.log, ops.log)
log1p = _op(np.log1p, ops.log1p)
log_softmax = _op(_log_softmax, ops.log_softmax)
logical_and = _op(np.logical_and, ops.logical_and)
logical_or = _op(np.logical_or, ops.logical_or)
logsumexp = _op(_logsumexp, _tensors_logsumexp)
matmul = _op(_matmul, ops.matmul)
max = _op(_extremes(np.maximum), ops.max)
maximum = _op(np.maximum, ops.maximum)
mean = _op(np.mean, ops.mean)
min = _op(_extremes(np.minimum), ops.min)
minimum = _op(np.minimum, ops.minimum)
one_hot = _op(_one_hot, ops.one_hot)
relu = _op(lambda x: np.maximum(x, 0), ops.relu)
softmax = _op(_softmax, ops.softmax)
squared_norms = _op(_squared_norms, _tensors_squared_norms)
sqrt = _op(np.sqrt, ops.sqrt)
square = _op(np.square, ops.square)
squeeze = _op(np.squeeze, ops.squeeze)
sum = _op(_sum, ops.sum)
take = _op(np.take, ops.take)
take_along_axis = _op(np.take_along_axis, ops.take_along_axis)
top_k = _op(_top_k, ops.top_k)
transpose = _op(np.transpose, ops.transpose)
where = _op(np.where, ops.where)
