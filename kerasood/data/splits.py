"""Division of in-distribution images: to train a model, calibrate its threshold and test it."""

import dataclasses
import math

import numpy as np
from sklearn.model_selection import train_test_split

from kerasood.data.digest import ImageDigest
from kerasood.data.open import available_splits, open_available, open_source
from kerasood.data.options import DEFAULTS
from kerasood.errors import InvalidInputError
from kerasood.logs import log


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Images for training.

    Args:
        training: (images uint8 (N, S, S, 3), labels int32 (N,)).
        validation: the same for the images that are kept out, or None.
        num_classes: int >= 2.
        class_names: tuple of str, or None.
        outliers: uint8 (M, S, S, 3) of an objective that trains on them, or None.
    """

    training: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray] | None
    num_classes: int
    class_names: tuple[str, ...] | None
    outliers: np.ndarray | None = None

    def digests(self):
        """Records a run's images: {set: {"count": int, "sha256": of the pixels}}."""
        sets = {
            "training": self.training[0],
            "validation": None if self.validation is None else self.validation[0],
            "outliers": self.outliers,
        }
        return {name: _digest(images) for name, images in sets.items() if images is not None}


def _digest(images):
    digest = ImageDigest()
    digest.update(images)
    return {"count": digest.count, "sha256": digest.hexdigest}


def load_training_data(config, holdout_seed=None, options=None):
    """Loads the training split and what is kept out of it.

    Kept out is a stratified share of the training split where `config.holdout` asks for one, else
    the data set's own validation split where it has one, else nothing.

    Args:
        config: TrainConfig, or anything with dataset, holdout, seed and data (DataOptions).
        holdout_seed: int, decides which images are held out; `config.seed` by default.
        options: DataOptions; `config.data` by default.

    Returns:
        TrainingData.

    Raises:
        FileNotFoundError: the data cannot be had.
        ValueError: they have no labels, or fewer than two classes.
    """
    options = options or config.data
    source = open_source(config.dataset, "train", options)
    labels = source.labels
    if labels is None or source.num_classes < 2:
        raise InvalidInputError(
            f"Expected images of at least two classes in {config.dataset}. Received: "
            + (source.unlabelled if labels is None else f"{source.num_classes} class")
        )
    held = None
    if config.holdout:
        seed = config.seed if holdout_seed is None else holdout_seed
        kept, held = holdout_rows(labels, config.holdout, seed)
        source, held = source.subset(kept), source.subset(held)
    elif "validation" in available_splits(config.dataset, options):
        held = open_source(config.dataset, "validation", options)
    training, validation = source.load(), held and held.load()
    for file, reason in source.skipped:
        log.warning("left out of training: %s (%s)", file, reason)
    return TrainingData(training, validation, source.num_classes, source.class_names)


def training_source(stage, options=DEFAULTS):
    """The labelled images that a finished run was trained on, for detectors that learn from them.

    Args:
        stage: StageConfig of the run.
        options: DataOptions.

    Returns:
        ImageSource, unaugmented, in a fixed order; or None when they are not at hand.
    """
    source, _ = open_available(stage.dataset, "train", options)
    if source is None or not stage.holdout:
        return source
    kept, _ = holdout_rows(source.labels, stage.holdout, stage.split_seed)
    return source.subset(kept, f"{stage.dataset} kept")


def calibration_source(stage, options=DEFAULTS):
    """The images that a finished run may calibrate its threshold on, none of them trained on.

    Args:
        stage: StageConfig of the run.
        options: DataOptions.

    Returns:
        ImageSource, or None when nothing was kept out: then calibrate on one half of the test
        split and check on the other.
    """
    if stage.holdout:
        source = open_source(stage.dataset, "train", options)
        _, held = holdout_rows(source.labels, stage.holdout, stage.split_seed)
        return source.subset(held, f"{stage.dataset} holdout")
    if "validation" in available_splits(stage.dataset, options):
        return open_source(stage.dataset, "validation", options)
    return None


def holdout_rows(labels, share, seed):
    """Divides images class by class.

    Args:
        labels: (N,) int.
        share: float in (0, 1), what is held out of every class.
        seed: int.

    Returns:
        (kept, held): increasing int arrays of rows.

    Raises:
        ValueError: too few images for one of every class on either side.
    """
    if not 0 < share < 1:
        raise InvalidInputError(f"Expected holdout in [0, 1). Received: holdout={share}")
    counts = np.unique(labels, return_counts=True)[1]
    num_held, least = math.ceil(share * len(labels)), math.ceil(1000 * len(counts) / len(labels))
    if counts.min() < 2 or not len(counts) <= num_held <= len(labels) - len(counts):
        raise InvalidInputError(
            "Expected at least two images of every class to hold some out, and holdout from "
            f"{least / 1000} to {1 - least / 1000:.3f}, for one of each class on either side. "
            f"Received: holdout={share:g} of {len(labels)} images in {len(counts)} classes, the "
            f"smallest of {counts.min()}"
        )
    kept, held = train_test_split(
        np.arange(len(labels)), test_size=share, random_state=seed, stratify=labels
    )
    return np.sort(kept), np.sort(held)


def halves(num_images, seed):
    """Divides test images into a half to calibrate on and a half to check on.

    Returns:
        (calibration, check): disjoint int arrays of rows that together are all.
    """
    order = np.random.default_rng([seed, num_images]).permutation(num_images)
    return np.sort(order[: num_images // 2]), np.sort(order[num_images // 2 :])
