"""The images of all runs of a command: found before the first starts, read when they are needed."""

import dataclasses
import functools

from kerasood.data.outliers import load_outliers, open_outliers
from kerasood.data.splits import load_training_data


class TrainingImages:
    """Reads what runs share, such as several seeds, once.

    Args:
        config: TrainConfig.
        stages: StageConfigs of the runs to come, at least one. Their outliers, if any, are found
            or downloaded here, and the in-distribution images are read.

    Raises:
        FileNotFoundError, ValueError, OSError: images cannot be had or train no classifier.
    """

    def __init__(self, config, stages):
        sources = {
            stage.outliers: open_outliers(stage.outliers, config.data)
            for stage in stages if stage.outliers
        }
        # One of each in memory: seeds are trained one after the other.
        self._outliers = functools.lru_cache(1)(
            lambda stage_outliers: load_outliers(sources[stage_outliers], config.max_outliers)
        )
        self._in_distribution = functools.lru_cache(1)(
            lambda holdout_seed: load_training_data(config, holdout_seed)
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
