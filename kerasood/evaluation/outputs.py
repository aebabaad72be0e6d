"""Features and logits of many images, one forward pass, outputs and not images in memory."""

import concurrent.futures
import dataclasses
import functools

import keras
import numpy as np

from kerasood.data.digest import ImageDigest
from kerasood.data.passes import images_per_pass
from kerasood.errors import InvalidInputError

_END = object()


@dataclasses.dataclass(frozen=True)
class Collected:
    """Outputs of one forward pass over a data set.

    Args:
        outputs: {"features": (N, D), "logits": (N, K)} float32.
        labels: (N,) int32, or None.
        sha256: str, of the pixels of all images in order.
    """

    outputs: dict
    labels: np.ndarray | None
    sha256: str

    @property
    def num_images(self):
        return len(next(iter(self.outputs.values())))


def collect_source(extractor, source, batch_size=None, progress=None):
    """Runs the extractor over all images of a source, the next batch being read meanwhile.

    Args:
        extractor: keras.Model, images -> {"features": (B, D), "logits": (B, K)}.
        source: ImageSource.
        batch_size: int; by default `images_per_pass`.
        progress: called with the number of images after each batch, or None.

    Returns:
        Collected.

    Raises:
        ValueError: as `collect`.
    """
    digest, labels = ImageDigest(), []
    batch_size = batch_size or images_per_pass(source.image_size**2)

    def batches():
        for images, batch_labels in prefetched(source.batches(batch_size)):
            digest.update(images)
            labels.append(batch_labels)
            yield images

    outputs = collect(extractor, batches(), progress)
    known = labels[0] is not None
    return Collected(outputs, np.concatenate(labels) if known else None, digest.hexdigest)


def prefetched(items):
    """Yields the same items, each made in a thread while the caller works on the one before it.

    An error surfaces as it is, at the item that could not be made.
    """
    iterator = iter(items)
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, iterator, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, iterator, _END)
            yield item


def collect(extractor, batches, progress=None, dtype="uint8"):
    """Runs the extractor over batches of images and keeps its outputs.

    Args:
        extractor: keras.Model, images -> {"features": (B, D), "logits": (B, K)}.
        batches: iterable of uint8 (B, H, W, 3).
        progress: called with the number of images after each batch, or None.
        dtype: what the images must be: "uint8", unless an extractor takes pixels as float32.

    Returns:
        {"features": (N, D), "logits": (N, K)} float32.

    Raises:
        ValueError: there is no image, one is of another type, or an output is not finite.
    """
    collected = {}
    num_images = full_batch = 0
    for images in batches:
        if np.dtype(getattr(images.dtype, "name", images.dtype)) != dtype:
            raise InvalidInputError(
                f"Expected {dtype} images, pixels 0-255. Received: {images.dtype}"
            )
        full_batch = full_batch or len(images)
        for name, part in _forward(extractor, images, full_batch).items():
            _check_finite(name, part, num_images)
            collected.setdefault(name, _GrowingArray(part.shape[1:])).extend(part)
        num_images += len(images)
        if progress is not None:
            progress(len(images))
    if not num_images:
        raise InvalidInputError("Expected at least one batch of images. Received: none")
    return {name: rows.trimmed() for name, rows in collected.items()}


class _GrowingArray:
    """Rows in one float32 array that grows in place.

    A list of parts needs twice their memory when it is joined at the end.
    """

    def __init__(self, row_shape):
        self._rows = np.empty((0, *row_shape), "float32")
        self._count = 0

    def extend(self, rows):
        end = self._count + len(rows)
        if end > len(self._rows):
            self._resize(end + len(self._rows) // 4)
        self._rows[self._count : end] = rows
        self._count = end

    def trimmed(self):
        self._resize(self._count)
        return self._rows

    def _resize(self, num_rows):
        self._rows.resize((num_rows, *self._rows.shape[1:]), refcheck=False)


def _forward(extractor, images, full_batch):
    """Outputs as float32 arrays; a compiler that takes seconds per shape sees full batches only."""
    count = len(images)
    if count < full_batch and getattr(extractor, "jit_compile", False):
        images = np.resize(images, (full_batch, *images.shape[1:]))
    outputs = _predict(extractor, images)
    return {name: np.asarray(part, "float32")[:count] for name, part in outputs.items()}


def _predict(extractor, images):
    if keras.backend.backend() == "jax" and isinstance(extractor, keras.Model):
        variables = (extractor.trainable_variables, extractor.non_trainable_variables)
        weights = [[variable.value for variable in part] for part in variables]
        return _jax_forward(extractor)(weights, images)
    return extractor.predict_on_batch(images)


# A model takes turns with those that step on its images; others come after it and replace them.
@functools.lru_cache(maxsize=4)
def _jax_forward(extractor):
    """The compiled forward pass alone: Keras's own step assigns every weight anew each time."""
    import jax

    return jax.jit(
        lambda weights, images: extractor.stateless_call(*weights, images, training=False)[0]
    )


def _check_finite(name, part, first):
    finite = np.isfinite(part).all(axis=tuple(range(1, part.ndim)))
    if not finite.all():
        image = first + int(np.argmin(finite))
        raise InvalidInputError(
            f"Expected finite {name}. Received: NaN or infinity for image {image}"
        )
