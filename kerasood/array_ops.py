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


def _op(name, for_arrays, for_tensors=None):
    """An op of Keras's that is `for_arrays` where all its positional arguments are arrays."""
    for_tensors = for_tensors or getattr(ops, name)

    @functools.wraps(for_tensors)
    def op(*args, **options):
        if not all(isinstance(arg, OF_ARRAYS) for arg in args):
            return for_tensors(*args, **options)
        with np.errstate(all="ignore"):  # as backends do
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


abs = _op("abs", np.abs)
equal = _op("equal", np.equal)
exp = _op("exp", np.exp)
expand_dims = _op("expand_dims", np.expand_dims)
log = _op("log", np.log)
log1p = _op("log1p", np.log1p)
log_softmax = _op("log_softmax", _log_softmax)
logical_and = _op("logical_and", np.logical_and)
logical_or = _op("logical_or", np.logical_or)
logsumexp = _op("logsumexp", _logsumexp, _tensors_logsumexp)
matmul = _op("matmul", np.matmul)
max = _op("max", _extremes(np.maximum))
maximum = _op("maximum", np.maximum)
mean = _op("mean", np.mean)
min = _op("min", _extremes(np.minimum))
minimum = _op("minimum", np.minimum)
one_hot = _op("one_hot", _one_hot)
relu = _op("relu", lambda x: np.maximum(x, 0))
softmax = _op("softmax", _softmax)
sqrt = _op("sqrt", np.sqrt)
square = _op("square", np.square)
squeeze = _op("squeeze", np.squeeze)
sum = _op("sum", _sum)
take = _op("take", np.take)
take_along_axis = _op("take_along_axis", np.take_along_axis)
top_k = _op("top_k", _top_k)
transpose = _op("transpose", np.transpose)
where = _op("where", np.where)
