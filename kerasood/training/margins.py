"""Margins of the energy-bounded fine-tune, from the energies that the base already gives."""

import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.training import objectives

QUANTILE = 0.05
NUM_IMAGES = 5000
BATCH_SIZE = 250


def derived_margins(network, images, outliers):
    """Margins that most images are on the wrong side of, and some are already beyond.

    margin_in is the 5 % quantile of the training images' energies: the loss pulls all but the
    most certain twentieth down to where those are. margin_out is the 95 % quantile of the
    outliers' energies: all but the least certain twentieth are pushed up to where those are. Both
    ends are within the network's present range, whatever its number of classes and training.

    Args:
        network: keras.Model, images -> logits; the base, as in inference.
        images: (N, H, W, 3) uint8, in-distribution training images, not augmented.
        outliers: (M, H, W, 3) uint8.

    Returns:
        (margin_in, margin_out): float, nats, rounded to 0.01; from a fixed random sample of at
        most NUM_IMAGES of each.

    Raises:
        ValueError: the margins are not in order, because the base finds the outliers more
            in-distribution than its training images.
    """
    margin_in = np.quantile(_energies(network, images), QUANTILE)
    margin_out = np.quantile(_energies(network, outliers), 1 - QUANTILE)
    if not margin_in < margin_out:
        raise InvalidInputError(
            "Expected a base with lower energies on its training images than on outliers, to "
            "derive margins from; or give --margin_in and --margin_out. Received: "
            f"margin_in={margin_in:.2f}, margin_out={margin_out:.2f}"
        )
    return round(float(margin_in), 2), round(float(margin_out), 2)


def _energies(network, images):
    if len(images) > NUM_IMAGES:
        rows = np.random.default_rng(0).choice(len(images), NUM_IMAGES, replace=False)
        images = images[np.sort(rows)]
    logits = network.predict(images, batch_size=BATCH_SIZE, verbose=0)
    return np.asarray(objectives.energy(np.asarray(logits, "float32")))
