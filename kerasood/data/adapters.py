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
    names = options.class_names or own
    if _is_batched(value):
        images, labels = _collected(value, name)
    else:
        images, labels = _pair(value)
    images = _checked_images(images, name)
    if labels is None:
        return ArraySource(name, images)
    own = own or names
    labels = checked_labels(labels, len(images), len(own) if own else None, name)
    if own:
        labels = outputs_of(own, names)[labels]
    num_classes = len(names) if names else int(labels.max()) + 1
    return ArraySource(name, images, labels, num_classes, tuple(names) if names else None)


def _pair(value):
    is_pair = isinstance(value, tuple) or isinstance(value, list) and np.ndim(value[0]) == 4
    if not is_pair:
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


def _collected(value, name):
    """(images, labels or None) of all batches."""
    is_indexed = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    batches = (value[i] for i in range(len(value))) if is_indexed else value
    images, labels = [], []
    for batch in batches:
        parts = batch if isinstance(batch, tuple | list) else (batch,)
        image = np.asarray(parts[0])
        if image.ndim == 3:
            raise InvalidInputError(
                f"{name}: expected batches of images (B, H, W, C); use dataset.batch(32). "
                f"Received: single images of shape={image.shape}"
            )
        images.append(_checked_images(image, name))
        if len(parts) > 1:
            labels.append(np.asarray(parts[1]))
    if not images:
        raise InvalidInputError(f"{name}: expected batches of images. Received: none")
    return np.concatenate(images), np.concatenate(labels) if labels else None


def _checked_images(images, name):
    """uint8 (N, H, W, C) of integers, or of floats that are pixels 0-255."""
    images = refuse_mask(images, name)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise InvalidInputError(
            f"Expected images (N, H, W, 3) or (N, H, W, 1), at least one, for {name!r}. "
            f"Received: shape={images.shape}, dtype={images.dtype}"
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "iuf":
        raise InvalidInputError(
            f"Expected uint8 images for {name!r}. Received: dtype={images.dtype}"
        )
    lowest, highest = float(images.min()), float(images.max())
    if not (lowest >= 0 and 1 < highest <= 255):
        raise InvalidInputError(
            f"Expected uint8 images, 0-255, for {name!r}; {PIXELS}. Received: "
            f"dtype={images.dtype}, values from {lowest:g} to {highest:g}"
        )
    return np.round(images).astype(np.uint8)
