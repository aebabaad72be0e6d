"""Checks of labels and classes."""
import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.names import choose

MAX_CLASSES = 100_000


def refuse_mask(array, where):
    """Returns a value as an array; refuses masks, which would be ignored, and ragged lists."""
    if np.ma.isMaskedArray(array):
        raise InvalidInputError(
            f"{where}: expected a plain array; a mask would be ignored. Received: a masked array "
            "(select with images[~mask] first)"
        )
    try:
        return np.asarray(array)
    except ValueError as error:
        raise InvalidInputError(
            f"{where}: expected an array, or items of one shape. Received: {error}"
        ) from error


def class_labels(labels, where):
    """Labels (N,) of integers (N,) or (N, 1), of 0.0 and 1.0, or of one-hot rows (N, K).

    Raises:
        InvalidInputError: rows of several numbers that are not one-hot, or a masked array.
    """
    labels = refuse_mask(labels, where)
    if labels.ndim == 2 and labels.shape[1] > 1:
        is_one_hot = np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(axis=1) == 1)
        if not is_one_hot:
            raise InvalidInputError(
                f"{where}: expected one class for each image. Received: labels of "
                f"shape={labels.shape} that are not one-hot"
            )
        return labels.argmax(axis=1)
    labels = labels[:, 0] if labels.ndim == 2 else labels
    if labels.dtype.kind == "f" and np.all(labels == np.round(labels)):
        labels = labels.astype(np.int64)
    return labels


def checked_labels(labels, num_images: int, num_classes: int | None, where):
    """Returns labels as int32 `(N,)`; see `class_labels`.

    Raises:
        InvalidInputError: when they are not one integer in [0, num_classes) per image.
    """
    labels = class_labels(labels, where)
    if labels.shape != (num_images,) or labels.dtype.kind not in "iu":
        raise InvalidInputError(
            f"{where}: expected one integer label per image, shape ({num_images},). "
            f"Received: shape={labels.shape}, dtype={labels.dtype}"
        )
    lowest, highest = int(labels.min()), int(labels.max())
    limit = MAX_CLASSES if num_classes is None else num_classes
    if lowest < 0 or highest >= limit:
        raise InvalidInputError(
            f"{where}: expected labels from 0 to {limit - 1}. "
            f"Received: labels from {lowest} to {highest}"
        )
    return labels.astype(np.int32)


def outputs_of(names, class_names, kind="class"):
    """Places of class names in those of a model's outputs, int32 (len(names),).

    Raises:
        InvalidInputError: a name that is none of them.
    """
    places = {name: place for place, name in enumerate(class_names)}
    return np.array([places[choose(kind, name, places)] for name in names], np.int32)
