"""Features and logits of many images, one forward pass, outputs and not images in memory."""

import numpy as np


def collect(extractor, batches, progress=None):
    """Runs the extractor over batches of images and keeps its outputs.

    Args:
        extractor: keras.Model, images -> {"features": (B, D), "logits": (B, K)}.
        batches: iterable of uint8 (B, H, W, 3).
        progress: called with the number of images after each batch, or None.

    Returns:
        {"features": (N, D), "logits": (N, K)} float32.

    Raises:
        ValueError: there is no image, one is not uint8, or an output is not finite.
    """
    parts = []
    num_images = 0
    for images in batches:
        if np.dtype(getattr(images.dtype, "name", images.dtype)) != np.uint8:
            raise ValueError(f"Expected uint8 images, pixels 0-255. Received: {images.dtype}")
        outputs = extractor.predict_on_batch(images)
        _check_finite(outputs, num_images)
        parts.append({name: np.asarray(part, "float32") for name, part in outputs.items()})
        num_images += len(images)
        if progress is not None:
            progress(len(images))
    if not parts:
        raise ValueError("Expected at least one batch of images. Received: none")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check_finite(outputs, first):
    for name, part in outputs.items():
        finite = np.isfinite(np.asarray(part, "float32")).all(axis=tuple(range(1, part.ndim)))
        if not finite.all():
            image = first + int(np.argmin(finite))
            raise ValueError(f"Expected finite {name}. Received: NaN or infinity for image {image}")
