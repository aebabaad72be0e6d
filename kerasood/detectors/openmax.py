"""Logits that give way to "unknown" as far as an image lies from its classes."""

import numpy as np
from scipy.optimize import brentq

from kerasood import array_ops as ops
from kerasood.detectors._math.rows import row_blocks
from kerasood.detectors._math.statistics import Moments
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register
from kerasood.errors import InvalidInputError, check_whole
from kerasood.training import objectives

# Beyond it exp(-exp(x)) is 0 anyway.
LARGEST_EXPONENT = 80.0
# A tail of equal values has no finite shape; from here on it is as good as a step.
LARGEST_SHAPE = 1000.0


@register("openmax")
class OpenMax(Detector):
    """Log-odds of "unknown" among the classes: log P(unknown) / (1 - P(unknown)).

    Each class has the mean logits of its correctly classified training images and a Weibull
    distribution of their largest Euclidean distances to it. For the `num_revised` classes with the
    largest logits v_c, rank i = 1, 2..., the share w_c = (1 - (i - 1) / num_revised) *
    WeibullCDF(distance to the mean) of v_c goes to the unknown: with u = sum v_c w_c,
    P(unknown) = exp(u) / (exp(u) + sum exp(v_c (1 - w_c))). The log-odds order images as P does,
    without its saturation at 0 and 1.

    The choices where the paper leaves some, or implementations differ: logits as the activation
    vector and weights by rank as in the paper's released code; plain Euclidean distances; tails as
    the library libMR fits them: distances less the smallest of the tail plus 1, location 0. A class
    with fewer than two correctly classified images gives nothing away (w_c = 0).

    Args:
        tail_size: int >= 2, largest distances of a class that its distribution is fitted to.
        num_revised: int >= 1, the paper's alpha; more than K counts as K.

    Reference:
        Bendale & Boult, "Towards Open Set Deep Networks", CVPR 2016, algorithms 1 and 2.
    """

    GRID = {"tail_size": (10, 20, 50), "num_revised": (1, 3, 10)}

    learns = True
    needs_labels = True

    def __init__(self, tail_size: int = 20, num_revised: int = 3):
        self.tail_size = tail_size
        self.num_revised = num_revised

    def _fit(self, outputs, labels, head):
        check_whole(2, tail_size=self.tail_size)
        check_whole(1, num_revised=self.num_revised)
        logits = outputs["logits"]
        correct = _moments_of_correct(logits, labels)
        known = correct.counts >= 2
        means = np.where(known[:, None], correct.class_means, correct.mean)
        tails = _tails(logits, labels, means, self.tail_size)
        starts, shapes, scales = np.zeros(len(means)), np.ones(len(means)), np.ones(len(means))
        for label in np.flatnonzero(known):
            starts[label] = tails[label].min() - 1
            shapes[label], scales[label] = fit_weibull(tails[label] - starts[label])
        self._keep(means_=means, known_=known)
        self._keep(starts_=starts, shapes_=shapes, log_scales_=np.log(scales))

    def _score(self, outputs):
        logits = outputs["logits"]
        num_classes = logits.shape[-1]
        values, ranked = ops.top_k(logits, min(self.num_revised, num_classes))
        given_away = values * self._shares(logits, ranked)
        is_ranked = ops.one_hot(ranked, num_classes, dtype="float32")
        remaining = logits - ops.sum(is_ranked * given_away[:, :, None], axis=1)
        return ops.sum(given_away, axis=-1) + objectives.energy(remaining)

    def _shares(self, logits, ranked):
        """Shares of the largest logits (N, R) that their classes give away: (N, R) in [0, 1]."""
        known, starts, shapes, log_scales, means = (
            ops.take(parameter, ranked, axis=0)
            for parameter in
            (self.known_, self.starts_, self.shapes_, self.log_scales_, self.means_)
        )
        # Few classes, so the differences themselves: their squares expanded would cancel.
        distances = ops.sqrt(ops.sum(ops.square(logits[:, None, :] - means), axis=-1))
        exponents = shapes * (ops.log(ops.maximum(distances - starts, 1e-30)) - log_scales)
        beyond_tail = 1.0 - ops.exp(-ops.exp(ops.minimum(exponents, LARGEST_EXPONENT)))
        num_revised = ranked.shape[-1]
        return known * beyond_tail * (1.0 - np.arange(num_revised, dtype="float32") / num_revised)


def _moments_of_correct(logits, labels):
    result, most = Moments(logits.shape[1]), 0
    for block, block_labels in row_blocks(logits, labels):
        correct = np.argmax(block, axis=1) == block_labels
        if correct.any():
            result.update(block[correct], block_labels[correct])
            most = result.counts.max()
    if most < 2:
        raise InvalidInputError(
            "Expected at least two correctly classified images of one class. Received: none"
        )
    return result


def _tails(logits, labels, means, tail_size):
    """The largest distances of correctly classified images to the mean of their class, by class."""
    tails = [np.empty(0) for _ in means]
    for block, block_labels in row_blocks(logits, labels):
        correct = np.argmax(block, axis=1) == block_labels
        distances = np.linalg.norm(block[correct] - means[block_labels[correct]], axis=1)
        for label in np.unique(block_labels[correct]):
            joined = np.concatenate([tails[label], distances[block_labels[correct] == label]])
            tails[label] = np.sort(joined)[-tail_size:]
    return tails


def fit_weibull(values):
    """Shape and scale of the two-parameter Weibull distribution of the largest likelihood.

    The shape c solves mean(x^c log x) / mean(x^c) - 1 / c = mean(log x), whose left side grows with
    c; then scale^c = mean(x^c).

    Args:
        values: (N,) float64, > 0, N >= 1.

    Returns:
        (shape, scale), the shape at most 1000.
    """
    logs = np.log(values)
    excess = logs - logs.max()

    def surplus(shape):
        weights = np.exp(shape * excess)
        return weights @ excess / weights.sum() - 1 / shape - excess.mean()

    shape = LARGEST_SHAPE
    if surplus(LARGEST_SHAPE) > 0:
        shape = brentq(surplus, 1e-6, LARGEST_SHAPE, xtol=1e-12, rtol=1e-14)
    log_scale = logs.max() + np.log(np.mean(np.exp(shape * excess))) / shape
    return shape, np.exp(log_scale)
