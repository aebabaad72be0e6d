"""Naive float64 twins of the training objectives."""

import numpy as np


def naive_energy(logits, temperature=1.0):
    scaled = np.asarray(logits, "float64") / temperature
    return -temperature * np.log(np.exp(scaled).sum(axis=1))


def naive_cross_entropy(labels, logits):
    exponentials = np.exp(np.asarray(logits, "float64"))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return -np.log(probabilities[np.arange(len(labels)), labels])


def naive_hinges(energies, margin_in, margin_out):
    energies = np.asarray(energies, "float64")
    hinge_in = np.where(energies > margin_in, (energies - margin_in) ** 2, 0)
    return hinge_in, np.where(energies < margin_out, (margin_out - energies) ** 2, 0)


def naive_uniform_cross_entropy(logits):
    exponentials = np.exp(np.asarray(logits, "float64"))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return -np.mean(np.log(probabilities), axis=1)


def naive_logit_norm(labels, logits, temperature=0.04):
    logits = np.asarray(logits, "float64")
    norms = np.sqrt((logits**2).sum(axis=1, keepdims=True))
    return naive_cross_entropy(labels, logits / norms / temperature)


def naive_softmax(logits):
    exponentials = np.exp(np.asarray(logits, "float64"))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def naive_entropy(logits):
    probabilities = naive_softmax(logits)
    return -np.sum(probabilities * np.log(probabilities), axis=1)


def naive_uniform_distance(logits):
    return np.abs(naive_softmax(logits) - 1 / logits.shape[1]).sum(axis=1)


def naive_divergence(logits):
    """KL divergence of the softmax from the uniform distribution, KL(uniform, softmax)."""
    return np.sum(np.log(1 / logits.shape[1] / naive_softmax(logits)) / logits.shape[1], axis=1)
