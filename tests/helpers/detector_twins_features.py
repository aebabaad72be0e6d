"""Naive float64 twins of the detectors that work on features: loops, inverses, no shortcuts.

Each takes the outputs and labels fitted on, and the outputs to score.
"""

import numpy as np
from detector_head import HEAD


def squared_mahalanobis(x, mean, covariance):
    return (x - mean) @ np.linalg.inv(covariance) @ (x - mean)


def class_statistics(features, labels):
    """Class means (K, D) and the covariance around them."""
    features = features.astype("float64")
    means = np.array([features[labels == k].mean(axis=0) for k in np.unique(labels)])
    centred = np.concatenate([features[labels == k] - means[k] for k in np.unique(labels)])
    return means, centred.T @ centred / len(centred)


def mahalanobis(fitted, labels, features):
    means, within = class_statistics(fitted, labels)
    return np.array(
        [min(0.5 * squared_mahalanobis(x, mean, within) for mean in means) for x in features]
    )


def relative_mahalanobis(fitted, labels, outputs):
    features = fitted["features"].astype("float64")
    total = np.cov(features.T, bias=True)
    mean = features.mean(axis=0)
    background = [0.5 * squared_mahalanobis(x, mean, total) for x in outputs["features"]]
    return mahalanobis(features, labels, outputs["features"]) - background


def multi_layer_mahalanobis(fitted, labels, outputs):
    scores = 0
    for name in ("features", "hidden/early", "hidden/late"):
        of_training = mahalanobis(fitted[name], labels, fitted[name].astype("float64"))
        scores = scores + (
            mahalanobis(fitted[name], labels, outputs[name]) - of_training.mean()
        ) / of_training.std()
    return scores


def unit(x):
    return np.array([row / np.linalg.norm(row) for row in x.astype("float64")])


def knn(fitted, labels, outputs, k=50):
    bank = unit(fitted["features"])
    distances = [
        sorted(np.linalg.norm(z - point) for point in bank) for z in unit(outputs["features"])
    ]
    return np.array(distances)[:, k - 1]


def log_sum_exp(logits):
    return np.log(np.exp(logits.astype("float64")).sum(axis=1))


def nnguide(fitted, labels, outputs, k=10):
    bank = unit(fitted["features"]) * log_sum_exp(fitted["logits"])[:, None]
    guidance = [np.mean(sorted(bank @ z)[-k:]) for z in unit(outputs["features"])]
    return -log_sum_exp(outputs["logits"]) * guidance


def residual(fitted, labels, outputs, dim=4):
    kernel, bias = HEAD
    origin = -np.linalg.pinv(kernel.T) @ bias
    shifted = fitted["features"].astype("float64") - origin
    _, _, directions = np.linalg.svd(shifted)
    rest = directions[min(dim, np.linalg.matrix_rank(shifted)):]
    return np.array([np.linalg.norm(rest @ (x - origin)) for x in outputs["features"]])


def vim(fitted, labels, outputs):
    largest = fitted["logits"].astype("float64").max(axis=1)
    residuals = residual(fitted, labels, fitted).mean()
    alpha = largest.mean() / residuals if residuals > 1e-6 else 0
    return alpha * residual(fitted, labels, outputs) - log_sum_exp(outputs["logits"])


def she(fitted, labels, outputs):
    features = fitted["features"].astype("float64")
    correct = fitted["logits"].argmax(axis=1) == labels
    patterns = [features[correct & (labels == k)].mean(axis=0) for k in np.unique(labels)]
    predicted = outputs["logits"].argmax(axis=1)
    return np.array(
        [-x @ patterns[k] for x, k in zip(outputs["features"], predicted, strict=True)]
    )


def fdbd(fitted, labels, outputs):
    kernel, _ = HEAD
    mean = fitted["features"].astype("float64").mean(axis=0)
    scores = []
    for x, logits in zip(outputs["features"], outputs["logits"], strict=True):
        top = logits.argmax()
        distances = [
            abs(logits[top] - logits[k]) / np.linalg.norm(kernel[:, top] - kernel[:, k])
            for k in range(len(logits))
            if k != top
        ]
        scores.append(-np.mean(distances) / np.linalg.norm(x - mean))
    return np.array(scores)


def nci(fitted, labels, outputs, alpha=0.0001):
    kernel, _ = HEAD
    mean = fitted["features"].astype("float64").mean(axis=0)
    scores = []
    for x, logits in zip(outputs["features"], outputs["logits"], strict=True):
        along = kernel[:, logits.argmax()] @ (x - mean) / np.linalg.norm(x - mean)
        scores.append(-along - alpha * np.abs(x).sum())
    return np.array(scores)


TWINS = {
    "relative_mahalanobis": relative_mahalanobis,
    "multi_layer_mahalanobis": multi_layer_mahalanobis,
    "knn": knn,
    "residual": residual,
    "vim": vim,
    "she": she,
    "fdbd": fdbd,
    "nnguide": nnguide,
    "nci": nci,
}
