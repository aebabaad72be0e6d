"""Auxiliary outliers for training: one uint8 array, 3 KB an image."""

import numpy as np

from kerasood.data.division import OUTLIERS
from kerasood.data.open import open_source
from kerasood.data.options import DEFAULTS
from kerasood.logs import log

# Not the run's: several seeds shall train on the same images.
SAMPLE_SEED = 0


def open_outliers(name, options=DEFAULTS):
    """Finds the outliers, or downloads them, without reading them.

    Args:
        name: registered name, or path of an .npz file or image folder.
        options: DataOptions.

    Returns:
        ImageSource; its labels, if any, play no part.

    Raises:
        FileNotFoundError, ValueError, OSError: as `open_source`.
    """
    return open_source(name, OUTLIERS, options)


def load_outliers(source, max_outliers=None):
    """Reads outliers into one array, in bounded memory beside it.

    The 1.28 million images of the downsampled ImageNet take 3.9 GB. Fine-tuning with the recipe
    (391 steps of 256 outliers, 10 epochs) sees one million of them.

    Args:
        source: ImageSource.
        max_outliers: int > 0 or None; a fixed random sample of so many is kept, in their order.

    Returns:
        uint8 (M, S, S, 3).
    """
    if max_outliers is not None and max_outliers < source.num_images:
        generator = np.random.default_rng(SAMPLE_SEED)
        rows = generator.choice(source.num_images, max_outliers, replace=False)
        source = source.subset(np.sort(rows))
    outliers, _ = source.load()
    for file, reason in source.skipped:
        log.warning("left out of the outliers: %s (%s)", file, reason)
    return outliers
