"""Features whose covariances are hard to invert, and their distances by another way."""

import numpy as np
from detector_twins_features import class_statistics


def ill_conditioned(condition):
    """Features of ten classes whose covariance has a condition number: training, labels, test."""
    generator = np.random.default_rng(0)
    directions, _ = np.linalg.qr(generator.normal(size=(128, 128)))
    mixing = directions * np.geomspace(1, condition**-0.5, 128) @ directions.T
    class_means, labels = generator.normal(0, 2, (10, 128)), np.arange(10_000) % 10
    training = (generator.normal(size=(10_000, 128)) + class_means[labels]) @ mixing + 3
    test = (1.3 * generator.normal(size=(1000, 128)) + class_means[labels[:1000]]) @ mixing + 3
    return training.astype("float32"), labels, test.astype("float32")


def exact_distances(training, labels, test, relative):
    """Half the squared (relative) Mahalanobis distance, float64."""
    means, within = class_statistics(training, labels)
    total = np.cov(training.T.astype("float64"), bias=True)

    def squared(mean, covariance):
        centred = test.astype("float64") - mean
        return np.einsum("nd,nd->n", centred, np.linalg.solve(covariance, centred.T).T)

    background = squared(training.astype("float64").mean(axis=0), total) if relative else 0.0
    return 0.5 * (np.min([squared(mean, within) for mean in means], axis=0) - background)
