"""Images in whatever form Keras takes them, as an ImageSource."""
import collections.abc
import typing

import numpy as np

from kerasood.data.labels import checked_labels, outputs_of, refuse_mask
from kerasood.data.options import DEFAULTS, DataOptions
from kerasood.data.source import ArraySource, ImageSource
from kerasood.errors import InvalidInputError

PIXELS = (
    "images are taken as uint8, 0-255: pass them as they were before they were scaled, and put the "
    "scaling into the model (preprocessing=\"scale_0_1\", or a Rescaling(1 / 255) layer)"
)


def as_source(
    value: typing.Any, name: str = "images", options: DataOptions = DEFAULTS
) -> ImageSource:
    """Returns images as an ImageSource.

    Args:
        value: an ImageSource; images uint8 `(N, H, W, C)`, or a pair of them and integer labels
            `(N,)` or `(N, 1)`; a `tf.data.Dataset` or `keras.utils.PyDataset` of images, or of
            (images, labels), which is read into memory once, so that a shuffled one keeps the order
            of that pass; one-hot labels become classes.
        name: for messages.
        options: DataOptions; its `class_names` name the classes in the order of a model's outputs.
            Labels of a value that has other `class_names`, as `image_dataset_from_directory` gives
            them, are mapped to these by name.

    Raises:
        InvalidInputError: images or labels of another kind, such as images in 0..1.
    """
    if isinstance(value, ImageSource):
        return value
    own = getattr(value, "class_names", None)
    own = None if own is None else tuple(own)
    names = options.class_names or own
    if _is_batched(value):
        images, labels, scaled = _collected(value, name)
    else:
        images, labels = _pair(value)
        images, scaled = _pixels(images, name)
    if scaled:
        raise _not_pixels(name, scaled)
    if labels is None:
        return ArraySource(name, images)
    own = own or names
    labels = checked_labels(labels, len(images), len(own) if own else None, name)
    if own:
        labels = outputs_of(own, names)[labels]
    num_classes = len(names) if names else int(labels.max()) + 1
    return ArraySource(name, images, labels, num_classes, tuple(names) if names else None)


def _pair(value):
    first = value[0] if isinstance(value, list) and value else None
    if not isinstance(value, tuple) and np.ndim(first) != 4:
        return value, None
    if len(value) != 2:
        raise InvalidInputError(
            f"Expected (images, labels). Received: {len(value)} things in a {type(value).__name__}"
        )
    return value


def _is_batched(value):
    if isinstance(value, np.ndarray | tuple | list) or hasattr(value, "__array__"):
        return False
    return isinstance(value, collections.abc.Iterable) or hasattr(value, "__getitem__")


def refuse_endless(data, name):
    """Raises InvalidInputError for Keras data that say that they repeat forever."""
    of_tensorflow = hasattr(data, "cardinality") and int(data.cardinality()) == -1
    if of_tensorflow or getattr(data, "num_batches", 0) is None:
        raise InvalidInputError(
            f"{name}: expected data of one pass, without .repeat(). "
            f"Received: an endless {type(data).__name__}"
        )


def _collected(value, name):
    """(images, labels or None, a range if all may be scaled: see `_pixels`) of all batches."""
    refuse_endless(value, name)
    is_indexed = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    batches = (value[i] for i in range(len(value))) if is_indexed else value
    images, labels, scaled = [], [], []
    for batch in batches:
        parts = batch if isinstance(batch, tuple | list) else (batch,)
        image = refuse_mask(parts[0], name)
        if image.ndim == 3:
            raise InvalidInputError(
                f"{name}: expected batches of images (B, H, W, C); use dataset.batch(32). "
                f"Received: single images of shape={image.shape}"
            )
        pixels, found = _pixels(image, name)
        images.append(pixels)
        scaled.append(found)
        if len(parts) > 1:
            labels.append(refuse_mask(parts[1], name))
    if not images:
        raise InvalidInputError(f"{name}: expected batches of images. Received: none")
    whole = _joined(images, name), _joined(labels, name) if labels else None
    return *whole, scaled[-1] if all(scaled) else None


def _joined(parts, name):
    shapes = sorted({part.shape[1:] for part in parts})
    if len(shapes) > 1:
        raise InvalidInputError(f"{name}: expected batches of one shape. Received: {shapes}")
    return np.concatenate(parts)


def _pixels(images, name):
    """(uint8 (N, H, W, C) of integers or floats in 0-255, their range if it may be scaled)."""
    images = refuse_mask(images, name)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise InvalidInputError(
            f"Expected images (N, H, W, 3) or (N, H, W, 1), at least one, for {name!r}. "
            f"Received: shape={images.shape}, dtype={images.dtype}"
        )
    if images.dtype == np.uint8:
        return images, None
    if images.dtype.kind not in "iuf":
        raise InvalidInputError(
            f"Expected uint8 images for {name!r}. Received: dtype={images.dtype}"
        )
    lowest, highest = float(images.min()), float(images.max())
    received = f"dtype={images.dtype}, values from {lowest:g} to {highest:g}"
    if not 0 <= lowest <= highest <= 255:
        raise _not_pixels(name, received)
    return np.round(images).astype(np.uint8), None if highest > 1 else received


def _not_pixels(name, received):
    return InvalidInputError(
        f"Expected uint8 images, 0-255, for {name!r}; {PIXELS}. Received: {received}"
    )
