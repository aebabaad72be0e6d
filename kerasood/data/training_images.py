"""The images of all runs of a command: found before the first starts, read when they are needed."""

import dataclasses
import functools

import numpy as np

from kerasood.data.division import OUTLIERS
from kerasood.data.open import open_source
from kerasood.data.splits import load_training_data
from kerasood.logs import log

# Not the run's: several seeds shall train on the same images.
SAMPLE_SEED = 0


class TrainingImages:
    """Reads what runs share, such as several seeds, once.

    Args:
        config: TrainConfig.
        stages: StageConfigs of the runs to come, at least one. Their outliers, if any, are found
            or downloaded here, and the in-distribution images are read.
        options: DataOptions; the configuration's by default.

    Raises:
        FileNotFoundError, ValueError, OSError: images cannot be had or train no classifier.
    """

    def __init__(self, config, stages, options=None):
        options = options or config.data
        sources = {
            stage.outliers: open_source(stage.outliers, OUTLIERS, options)
            for stage in stages if stage.outliers
        }
        # One of each in memory: seeds are trained one after the other.
        self._outliers = functools.lru_cache(1)(
            lambda stage_outliers: load_outliers(sources[stage_outliers], config.max_outliers)
        )
        self._in_distribution = functools.lru_cache(1)(
            lambda holdout_seed: load_training_data(config, holdout_seed, options)
        )
        self._without_outliers(stages[0])

    def of(self, stage):
        """TrainingData of a StageConfig."""
        data = self._without_outliers(stage)
        if stage.outliers is None:
            return data
        return dataclasses.replace(data, outliers=self._outliers(stage.outliers))

    def _without_outliers(self, stage):
        return self._in_distribution(stage.split_seed if stage.holdout else None)


def load_outliers(source, max_outliers=None):
    """Reads auxiliary outliers into one array, in bounded memory beside it.

    The 1.28 million images of the downsampled ImageNet take 3.9 GB. Fine-tuning with the recipe
    (391 steps of 256 outliers, 10 epochs) sees one million of them.

    Args:
        source: ImageSource; its labels, if any, play no part.
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
