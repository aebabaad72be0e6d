"""Means, covariances and whitening in float64: one pass over the rows, in bounded memory."""

import numpy as np
from scipy import sparse
from scipy.linalg.blas import dsyrk

from kerasood.detectors._math.rows import row_blocks
from kerasood.errors import InvalidInputError

# Rounding of float32 features alone gives directions this share of the largest variance.
FLOAT32_VARIANCE = float(np.finfo("float32").eps) ** 2


class Moments:
    """Mean and scatter of rows, overall and by class.

    Rows are shifted by the mean of the first block, so that nothing large cancels.

    Args:
        num_classes: int, or None for the overall moments alone.
    """

    def __init__(self, num_classes=None):
        self._num_classes = num_classes or 1
        self._shift = None

    def update(self, rows, labels=None):
        """Adds a block.

        Args:
            rows: (B, D) float32 or float64; all sums are float64.
            labels: (B,) int in [0, num_classes), or None for one class.
        """
        if self._shift is None:
            self._shift = rows.mean(axis=0, dtype="float64")
            self._counts = np.zeros(self._num_classes)
            self._sums = np.zeros((self._num_classes, rows.shape[1]))
            self._squares = np.zeros((rows.shape[1], rows.shape[1]), order="F")
        shifted = rows - self._shift
        if labels is None:
            self._counts += len(rows)
            self._sums += np.ones(len(rows)) @ shifted
        else:
            self._counts += np.bincount(labels, minlength=self._num_classes)
            self._sums += class_sums(shifted, labels, self._num_classes)
        # In place, the upper triangle alone.
        self._squares = dsyrk(1.0, shifted.T, beta=1.0, c=self._squares, overwrite_c=True)

    @property
    def counts(self):
        """(K,) number of rows of each class."""
        return self._counts

    @property
    def mean(self):
        """(D,) mean of all rows."""
        return self._shift + self._sums.sum(axis=0) / self._counts.sum()

    @property
    def centre(self):
        """(D,) the mean as float32 stores it, so that what is computed around it is exact."""
        return self.mean.astype("float32").astype("float64")

    @property
    def class_means(self):
        """(K, D) mean of each class; NaN for a class without rows."""
        with np.errstate(invalid="ignore"):
            return self._shift + self._sums / self._counts[:, None]

    @property
    def covariance(self):
        """(D, D) covariance of all rows around their mean, divided by their number."""
        shifted_mean = self._sums.sum(axis=0) / self._counts.sum()
        return self._scatter / self._counts.sum() - np.outer(shifted_mean, shifted_mean)

    @property
    def within_covariance(self):
        """(D, D) covariance of the rows around their class mean, divided by their number."""
        present = self._counts > 0
        if self._counts.sum() <= present.sum():
            # The deviations from the class means would all be zero, and so would every score.
            raise InvalidInputError(
                "Expected more than one image of a class, to see how classes vary. Received: "
                f"{self._counts.sum():g} images of {present.sum()} classes"
            )
        weighted = self._sums[present] / np.sqrt(self._counts[present])[:, None]
        return (self._scatter - weighted.T @ weighted) / self._counts.sum()

    @property
    def _scatter(self):
        """(D, D) sum of the outer products of the shifted rows."""
        return self._squares + np.triu(self._squares, 1).T


def class_sums(rows, labels, num_classes):
    """Sums of the rows of each class.

    The members of the classes are a sparse matrix: its product costs as much for 1,000 classes as
    for ten, where a dense one would outweigh everything else in a fit.

    Args:
        rows: (B, D) float64.
        labels: (B,) int in [0, num_classes).

    Returns:
        (num_classes, D) float64; zeros for a class without rows.
    """
    num_rows = len(rows)
    members = sparse.csc_matrix(
        (np.ones(num_rows), labels, np.arange(num_rows + 1)), shape=(num_classes, num_rows)
    )
    return members @ rows


def moments(rows, labels=None, num_classes=None):
    """The Moments of an array of rows (N, D), streamed through float64."""
    result = Moments(num_classes)
    for block, block_labels in row_blocks(rows, labels, dtype=None):
        result.update(block, block_labels)
    return result


def whitening(covariance):
    """A matrix W with W @ W.T = the inverse of a covariance, on the directions that vary.

    Directions are dropped whose variance could be rounding: of the features, or of eigenvalues in
    float64, D * epsilon times the largest. A larger limit would change the published scores: a
    DenseNet with a condition number of 9e8 tells SVHN apart by its 14 smallest directions too.

    Args:
        covariance: (D, D) float64, symmetric.

    Returns:
        (D, R) float64, R <= D: squared Mahalanobis distance = ||(x - mean) @ W||^2. Without any
        variance R is 1 and the column zero.
    """
    smallest = max(len(covariance) * np.finfo("float64").eps, FLOAT32_VARIANCE)
    variances, directions = np.linalg.eigh(covariance)
    kept = variances > max(variances[-1], 0) * smallest
    if not kept.any():
        return np.zeros((len(covariance), 1))
    return directions[:, kept] / np.sqrt(variances[kept])


def whitened_means(means, centre, whitener):
    """Class means (K, D) in whitened coordinates around `centre`, those of empty classes left out.

    Returns:
        (C, R) float64, C <= K.
    """
    return (means[np.isfinite(means).all(axis=1)] - centre) @ whitener


def whitened_classes(rows, labels):
    """Rows (N, D) as classes around their means that share one covariance; one pass.

    Returns:
        (centre (D,), whitener (D, R), means (C, R)) float64: the centre of all rows, `whitening` of
        the covariance around the class means, and `whitened_means`.
    """
    fitted = moments(rows, labels, int(labels.max()) + 1)
    whitener = whitening(fitted.within_covariance)
    return fitted.centre, whitener, whitened_means(fitted.class_means, fitted.centre, whitener)
