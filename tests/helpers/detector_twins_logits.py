"""Naive float64 twins of the detectors on logits and of the rectifiers, and the outputs they read.

A twin takes the outputs and labels that were fitted on, then the outputs to score.
"""

import numpy as np
from detector_head import HEAD
from scipy.stats import weibull_min

# The examples have too few weights and features for the defaults.
EXAMPLE_PARAMETERS = {
    "dice": {"sparsity": 0.5},
    "ash_s": {"percentile": 50},
    "scale": {"percentile": 50},
}


def extra_outputs(features):
    """Outputs of networks made for one detector: two heads (MCD), reject classes, G-ODIN's head."""
    kernel, bias = HEAD
    centres = 4 * np.eye(kernel.shape[1], kernel.shape[0])
    numerators = -np.mean((features[:, None] - centres) ** 2, axis=2)
    return {
        "logits_2": 1.5 * features @ kernel + 10 * bias,
        "numerators": numerators,
        "reject_logits": 8 - 2 * np.linalg.norm(features[:, :2], axis=1, keepdims=True),
        "divisor": 1 / (1 + np.exp(3 - np.linalg.norm(features, axis=1, keepdims=True))),
    }


def softmax(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def energy(logits):
    return -np.log(np.exp(logits).sum(axis=1))


def entropy(fitted, labels, outputs):
    probabilities = softmax(outputs["logits"])
    return -(probabilities * np.log(probabilities)).sum(axis=1)


def gen(fitted, labels, outputs):
    probabilities = softmax(outputs["logits"])
    return ((probabilities * (1 - probabilities)) ** 0.1).sum(axis=1)


def kl_matching(fitted, labels, outputs):
    training, predicted = softmax(float64(fitted, "logits")), fitted["logits"].argmax(axis=1)
    templates = [training[predicted == k].mean(axis=0) for k in range(4) if k in predicted]
    return np.array([
        min((p * np.log(p / template)).sum() for template in templates)
        for p in softmax(outputs["logits"])
    ])


def grad_norm(fitted, labels, outputs):
    norms = np.abs(outputs["features"]).sum(axis=1)
    return -norms * np.abs(softmax(outputs["logits"]) - 1 / 4).sum(axis=1)


def openmax(fitted, labels, outputs):
    training = float64(fitted, "logits")
    correct = training.argmax(axis=1) == labels
    models = []
    for k in range(4):
        rows = training[correct & (labels == k)]
        mean = rows.mean(axis=0)
        tail = np.sort(np.linalg.norm(rows - mean, axis=1))[-20:]
        start = tail.min() - 1
        # SciPy's fit stops early; its own search from there on goes further.
        shape, _, scale = weibull_min.fit(tail - start, floc=0)
        shape, scale = sharpened(tail - start, shape, scale)
        models.append((mean, start, shape, scale))
    return np.array([openmax_log_odds(logits, models) for logits in outputs["logits"]])


def sharpened(values, shape, scale):
    """Fixed-point steps to the maximum of the likelihood."""
    for _ in range(500):
        powers = values**shape
        target = powers @ np.log(values) / powers.sum() - np.log(values).mean()
        shape = 0.5 * shape + 0.5 / target
    return shape, np.mean(values**shape) ** (1 / shape)


def openmax_log_odds(logits, models):
    revised, unknown = logits.copy(), 0.0
    for rank, k in enumerate(np.argsort(-logits)[:3]):
        mean, start, shape, scale = models[k]
        distance = np.linalg.norm(logits - mean)
        share = weibull_min.cdf(distance - start, shape, scale=scale) * (3 - rank) / 3
        revised[k] = logits[k] * (1 - share)
        unknown += logits[k] * share
    probability = np.exp(unknown) / (np.exp(unknown) + np.exp(revised).sum())
    return np.log(probability / (1 - probability))


def react(fitted, labels, outputs):
    threshold = np.percentile(float64(fitted, "features"), 99)
    return head_energy(np.minimum(outputs["features"], threshold))


def dice(fitted, labels, outputs):
    kernel, bias = HEAD
    contributions = float64(fitted, "features").mean(axis=0)[:, None] * kernel
    masked = np.zeros_like(kernel)
    order = sorted(np.ndindex(kernel.shape), key=lambda place: -contributions[place])
    for place in order[: kernel.size // 2]:
        masked[place] = kernel[place]
    return energy(outputs["features"] @ masked + bias)


def ash_p(fitted, labels, outputs):
    return head_energy(np.array([pruned(row, 0.9) for row in outputs["features"]]))


def ash_b(fitted, labels, outputs):
    return head_energy(np.array([
        (pruned(row, 0.9) > 0) * row.sum() / (pruned(row, 0.9) > 0).sum()
        for row in outputs["features"]
    ]))


def ash_s(fitted, labels, outputs):
    return head_energy(np.array([
        pruned(row, 0.5) * np.exp(row.sum() / pruned(row, 0.5).sum())
        for row in outputs["features"]
    ]))


def scale(fitted, labels, outputs):
    return head_energy(np.array([
        row * np.exp(row.sum() / pruned(row, 0.5).sum()) for row in outputs["features"]
    ]))


def pruned(row, share):
    """Without a share of an image's activations, which are all different."""
    return np.where(row >= np.sort(row)[round(share * len(row))], row, 0)


def head_energy(features):
    kernel, bias = HEAD
    return energy(features @ kernel + bias)


def float64(outputs, name):
    return outputs[name].astype("float64")


TWINS = {
    "entropy": entropy,
    "gen": gen,
    "kl_matching": kl_matching,
    "grad_norm": grad_norm,
    "openmax": openmax,
    "react": react,
    "dice": dice,
    "ash_p": ash_p,
    "ash_b": ash_b,
    "ash_s": ash_s,
    "scale": scale,
    "g_odin": lambda fitted, labels, outputs: -outputs["numerators"].max(axis=1),
    "mcd": lambda fitted, labels, outputs: np.abs(
        softmax(outputs["logits"]) - softmax(outputs["logits_2"])
    ).sum(axis=1),
    "reject": lambda fitted, labels, outputs: np.log(
        np.exp(outputs["reject_logits"]).sum(axis=1) / np.exp(outputs["logits"]).sum(axis=1)
    ),
}
