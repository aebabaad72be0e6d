"""Checks of labels and classes."""
import numpy as np

from kerasood.errors import InvalidInputError

MAX_CLASSES = 100_000


def refuse_mask(array, where):
    """Returns a value as an array; a masked array, whose mask would be ignored, is refused."""
    if np.ma.isMaskedArray(array):
        raise InvalidInputError(
            f"{where}: expected a plain array; a mask would be ignored. Received: a masked array "
            "(select with images[~mask] first)"
        )
    return np.asarray(array)


def checked_labels(labels, num_images: int, num_classes: int | None, where):
    """Returns labels as int32 `(N,)`.

    Raises:
        InvalidInputError: when they are not one integer in [0, num_classes) per image.
    """
    labels = refuse_mask(labels, where)
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


def check_classes(source, num_classes: int):
    """Refuses images of another number of classes than a model has outputs.

    Raises:
        InvalidInputError: says which classes the images have.
    """
    if source.num_classes in (None, num_classes):
        return
    named = f" ({', '.join(source.class_names[:20])})" if source.class_names else ""
    raise InvalidInputError(
        f"{source.name}: expected images of the model's {num_classes} classes; name the outputs in "
        f"their order (class_names) if the images lack some. Received: {source.num_classes} "
        f"classes{named}"
    )
