"""Does the finished file accept as many in-distribution images as its threshold promises?"""

import dataclasses
import os
import typing

import numpy as np

from kerasood.data.adapters import as_source
from kerasood.export.errors import ExportMismatch
from kerasood.export.formats import run_exported
from kerasood.export.metadata import read_calibration

CONFIDENCE = 0.9999
NUM_COUNTED = 1000


def verify_promise(path: str | os.PathLike, images: typing.Any) -> float:
    """Runs an exported file on in-distribution images and counts how many it accepts.

    It is the last net under differences between the images that a threshold was calibrated on and
    those that the file sees, such as a normalisation outside of the model.

    Args:
        path: str or Path of an exported file or a SavedModel folder, its metadata beside it.
        images: those that the threshold was calibrated on, or others of their kind, in any form
            that `kerasood.data.as_source` takes; at most 1,000 of them, evenly spaced, are asked.

    Returns:
        float, the share of images that it accepts.

    Raises:
        ExportMismatch: a share that samples from the calibration's distribution do not have, but
            in one case of 10,000.
        InvalidInputError: it was exported without a calibration.
    """
    threshold = read_calibration(path)
    pooled = getattr(threshold, "pooled", threshold)
    batches = as_source(images).spread(NUM_COUNTED).batches(250)
    is_ood = np.concatenate([run_exported(path, batch)["is_ood"] for batch, _ in batches])
    share = float(np.mean(~is_ood))
    # The guarantee decides about the rank alone, which has been chosen.
    wide = dataclasses.replace(pooled, confidence=CONFIDENCE, guarantee="average")
    low, high = wide.interval_for(len(is_ood))
    if not low <= share <= high:
        raise ExportMismatch(
            f"Expected {path} to accept {low:.1%} to {high:.1%} of {len(is_ood)} calibration "
            f"images, since its threshold was calibrated to accept {pooled.tpr:.1%}. "
            f"Received: {share:.1%}. "
            "Are they the pixels 0-255 that the model and its calibration were given?"
        )
    return share


def said_of_scores(threshold, scores):
    """A line for where no score of a file is like those that its threshold was calibrated on.

    Args:
        threshold: Threshold or PerClassThreshold.
        scores: (N,) that the file gives to the images that it is verified with.

    Returns:
        str, or None.
    """
    pooled = getattr(threshold, "pooled", threshold)
    if pooled.covers(scores):
        return None
    return (
        f"none of {len(scores)} images has a score like those of the calibration "
        f"({pooled.scores[0]:.4g} to {pooled.scores[-1]:.4g}; theirs are {np.min(scores):.4g} to "
        f"{np.max(scores):.4g}): was it calibrated on the pixels 0-255 that the file is given? "
        "With calibration_images the export makes sure of it"
    )
