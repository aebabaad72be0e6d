"""Data of `fine_tune`: arrays or batches of any kind, refused where nothing can be trained on."""

import collections.abc

import numpy as np

from kerasood.data.labels import class_labels
from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import has_graph
from kerasood.training.batches import each_batch, num_batches

# What parameters are derived from where the data come in batches.
NUM_IMAGES_TO_DERIVE = 5000


def checked_arrays(images, labels):
    """(images uint8 (N, H, W, C), labels int (N,)) of arrays."""
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise InvalidInputError(
            "Expected images of uint8 (N, H, W, C), at least one, pixels 0-255; rescaling belongs "
            f"into the model, or give a tf.data.Dataset. Received: dtype={images.dtype}, "
            f"shape={images.shape}"
        )
    return images, _whole_labels(labels)


def first_images(data):
    """(images, labels) of the first batches of Keras data, as arrays."""
    if isinstance(data, collections.abc.Iterator):
        raise InvalidInputError(
            "Expected batches that start anew with every epoch: a list, a tf.data.Dataset or a "
            f"PyDataset. Received: a {type(data).__name__}, which is read once"
        )
    num_batches(data)  # Refuses what never ends.
    images, labels = _joined(data, NUM_IMAGES_TO_DERIVE)
    return images, _whole_labels(labels)


def checked_validation(data):
    """Validation data as `keras.Model.fit` takes them; a list of batches as a pair of arrays."""
    if isinstance(data, list) and data and isinstance(data[0], tuple | list):
        return _joined(data)
    if data is not None:
        num_batches(data)  # Refuses what never ends.
    return data


def check_needed(kind, labels, outliers):
    """Refuses data without labels or outliers that the class of an objective needs, or with."""
    if kind.needs_rows and labels is None:
        raise InvalidInputError(
            f"Expected arrays of images and labels, for objective {kind.objective!r} keeps "
            "something for each of them. Received: no labels"
        )
    if kind.needs_outliers and outliers is None:
        raise InvalidInputError(
            f"Expected outliers, which objective {kind.objective!r} trains on. Received: None"
        )
    if outliers is not None and not kind.needs_outliers:
        raise InvalidInputError(
            f"Expected no outliers for objective {kind.objective!r}. Received: "
            f"a {type(outliers).__name__}"
        )


def checked_outliers(outliers, images):
    """Outliers (M, H, W, C) of the images' size, type and range, as an array; None stays None."""
    if outliers is None:
        return None
    expected = f"Expected an array of outliers as the images are, {images.dtype} {images.shape[1:]}"
    if not hasattr(outliers, "shape"):
        raise InvalidInputError(f"{expected}. Received: a {type(outliers).__name__}")
    outliers = np.asarray(outliers)
    same = outliers.dtype == images.dtype or outliers.dtype == np.uint8 and _are_pixels(images)
    if not same or outliers.shape[1:] != images.shape[1:] or not outliers.size:
        raise InvalidInputError(
            f"{expected}, at least one. Received: dtype={outliers.dtype}, shape={outliers.shape}"
            + ("" if same else f", beside images from {images.min():g} to {images.max():g}")
        )
    return outliers


def check_size(model, images):
    """Refuses images of another size than a graph takes."""
    expected = tuple(model.inputs[0].shape[1:]) if has_graph(model) else ()
    # Keras adds a last axis of 1, or takes it off.
    pairs = zip(expected, images.shape[1:], strict=False)
    if any(side not in (None, given) for side, given in pairs):
        raise InvalidInputError(
            f"Expected images of shape {expected}, which {model.name!r} takes. "
            f"Received: shape={images.shape[1:]}"
        )


def check_classes(trainer, images, labels):
    """Refuses labels that are no classes of a trainer's network."""
    # Not the trainer's own call, after which it could take no variables of the data's length.
    num_classes = trainer.outputs_of(images[:1], training=False)["logits"].shape[-1]
    if not 0 <= labels.min() <= labels.max() < num_classes:
        raise InvalidInputError(
            f"Expected labels in [0, {num_classes}), the model's classes. Received: "
            f"{labels.min()} to {labels.max()}"
        )


def _joined(data, enough=np.inf):
    taken, parts = 0, []
    for images, labels in each_batch(data):
        if not np.ndim(labels) or len(images) != len(labels):
            raise InvalidInputError(
                "Expected batches of images (B, H, W, C) and their labels (B,); use "
                f"dataset.batch(32). Received: images of shape={images.shape}, labels of "
                f"shape={labels.shape}"
            )
        parts.append((images, labels))
        taken += len(images)
        if taken >= enough:
            break
    if not taken:
        raise InvalidInputError("Expected (images, labels) batches. Received: none")
    images, labels = map(np.concatenate, zip(*parts, strict=True))
    return images, labels


def _are_pixels(images):
    return images.dtype.kind == "f" and images.min() >= 0 and 1 < images.max() <= 255


def _whole_labels(labels):
    labels = class_labels(labels, "labels")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InvalidInputError(
            "Expected labels of int (N,), one class each. Received: "
            f"dtype={labels.dtype}, shape={labels.shape}"
        )
    return labels
