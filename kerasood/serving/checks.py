"""Checks of what is given to an OODModel, before it is used."""

import typing

import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.thresholds import read_threshold

FROM_FLOATS = """. Pixels in 0..1 become such images by
    images = np.rint(images * 255).astype("uint8")
(those in 0..255 without the * 255), and a model that was trained on rescaled pixels takes
    preprocessing="scale_0_1"
where its extractor or OODModel is built"""


def check_images(images: typing.Any, image_shape: tuple) -> typing.Any:
    """Returns `images` as a uint8 array, or says what is wrong with them.

    Keras and TensorFlow cast floats in 0..1 to uint8 zeros without a word; the answers would look
    fine and mean nothing.

    Args:
        images: array-like, (N, H, W, C).
        image_shape: (H, W, C); None where any size will do.

    Raises:
        ValueError: dtype is not uint8 or the shape does not match.
    """
    images = np.asarray(images)
    received = f"dtype={images.dtype}"
    if images.size and images.dtype.kind in "iuf":
        received += f" with values from {images.min():g} to {images.max():g}"
    check_shape(images.shape, images.dtype.name, image_shape, received)
    return images


def check_shape(shape, dtype, image_shape, received=None):
    """Raises ValueError unless dtype and shape are those of uint8 images of a size."""
    if dtype != "uint8":
        received = received or f"dtype={dtype}"
        mend = FROM_FLOATS if str(dtype).startswith(("float", "bfloat")) else ""
        raise InvalidInputError(
            f"Expected images of dtype uint8, pixels 0-255. Received: {received}{mend}"
        )
    sizes = zip(shape[1:], image_shape, strict=False)
    if len(shape) != 4 or any(None not in pair and pair[0] != pair[1] for pair in sizes):
        expected = ", ".join(str(size or "any") for size in image_shape)
        raise InvalidInputError(
            f"Expected images of shape (N, {expected}). Received: shape={tuple(shape)}"
        )


def checked_threshold(threshold, num_classes):
    """A float, or K of them in a tuple, each a float32 number."""
    values = np.asarray(threshold)
    if values.dtype.kind not in "iuf":
        raise InvalidInputError(f"Expected a threshold, a number. Received: {threshold!r}")
    values = values.astype("float64")
    if not np.all(np.abs(values) <= float(np.finfo("float32").max)):
        raise InvalidInputError(f"Expected a finite threshold. Received: threshold={threshold}")
    if values.shape not in ((), (num_classes,)):
        raise InvalidInputError(
            f"Expected one threshold, or one for each of {num_classes} classes. "
            f"Received: threshold with shape={values.shape}"
        )
    values = values.astype("float32").tolist()
    return tuple(values) if isinstance(values, list) else values


def checked_names(class_names, num_classes):
    """Names of K classes, each another, as a tuple; or None."""
    if class_names is None:
        return None
    names = tuple(class_names)
    if (
        isinstance(class_names, str)
        or len(names) != num_classes
        or not all(isinstance(name, str) and name for name in names)
        or len(set(names)) != num_classes
    ):
        raise InvalidInputError(
            f"Expected a list of {num_classes} class names (str), all different. "
            f"Received: class_names={class_names!r}"
        )
    return names


def checked_calibration(threshold, calibration):
    """The JSON of a calibration, which must be that of this threshold."""
    if calibration is None:
        return threshold.to_json() if hasattr(threshold, "to_json") else None
    stated = read_threshold(calibration).value
    given = getattr(threshold, "value", threshold)
    if not np.array_equal(np.float32(stated), np.float32(given)):
        raise InvalidInputError(
            f"Expected the calibration of this threshold, {given}. Received: one of {stated}"
        )
    return calibration
