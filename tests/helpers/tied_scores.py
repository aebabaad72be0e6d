"""Scores with many ties."""

import numpy as np


def tied_scores(seed, num_in=80, num_out=50, levels=12):
    generator = np.random.default_rng(seed)
    scores_in = generator.integers(0, levels, num_in) / 4
    return scores_in, generator.integers(2, levels + 3, num_out) / 4
