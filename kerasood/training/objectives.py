"""Quantities that training minimises and detection measures: pure functions of outputs.

Every function returns one value per image, so that averaging, weighting and logging stay with the
caller, and runs on any Keras backend: a tensor for tensors, and an array, computed in NumPy, for
arrays.
"""

from kerasood import array_ops as ops
from kerasood.errors import InvalidInputError

NORM_EPSILON = 1e-7


def energy(logits, temperature=1.0):
    """Energy of an image under its classifier; lower = more in-distribution.

    Args:
        logits: (N, K) float, unnormalised log-probabilities.
        temperature: float > 0, nats.

    Returns:
        (N,) float: -T * logsumexp(logits / T).

    Reference:
        Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020, eq. 4.
    """
    if temperature == 1:
        return -ops.logsumexp(logits, axis=-1)
    return -temperature * ops.logsumexp(logits / temperature, axis=-1)


def cross_entropy(labels, logits):
    """Cross-entropy of the true class.

    Args:
        labels: (N,) int in [0, K).
        logits: (N, K) float.

    Returns:
        (N,) float, nats.

    Raises:
        ValueError: the labels are not one class per image, such as one-hot vectors.
    """
    if len(labels.shape) != 1:
        raise InvalidInputError(
            f"Expected labels of shape (N,), one class each. Received: shape={tuple(labels.shape)}"
        )
    true_logits = ops.take_along_axis(logits, ops.expand_dims(labels, -1), axis=-1)
    return -energy(logits) - ops.squeeze(true_logits, axis=-1)


def l1_norm(activations):
    """L1 norm of each image's activations: the sparsity term before its weight and mean.

    Args:
        activations: (N, D) float: logits (the paper) or features (its released code).

    Returns:
        (N,) float.

    Reference:
        Chen & Li, "Sparsity-based regularization for out-of-distribution detection", 2023, eq. 9.
    """
    return ops.sum(ops.abs(activations), axis=-1)


def energy_hinge_in(energies, margin_in):
    """Cost of an in-distribution energy above its margin.

    Args:
        energies: (N,) float, nats.
        margin_in: float, nats; energies below it cost nothing.

    Returns:
        (N,) float: max(0, E - margin_in) ** 2.

    Reference:
        Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020; eq. 7 in Chen & Li.
    """
    return ops.square(ops.relu(energies - margin_in))


def energy_hinge_out(energies, margin_out):
    """Cost of an outlier's energy below its margin.

    Args:
        energies: (M,) float, nats.
        margin_out: float, nats; energies above it cost nothing.

    Returns:
        (M,) float: max(0, margin_out - E) ** 2.

    Reference:
        Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020; eq. 7 in Chen & Li.
    """
    return ops.square(ops.relu(margin_out - energies))


def uniform_cross_entropy(logits):
    """Cross-entropy to the uniform distribution over the classes; ln K where all are equal.

    Args:
        logits: (M, K) float.

    Returns:
        (M,) float, nats: logsumexp(logits) - mean(logits).

    Reference:
        Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.
    """
    return -energy(logits) - ops.mean(logits, axis=-1)


def logit_norm(labels, logits, temperature=0.04):
    """Cross-entropy of logits that are scaled to the length 1 / temperature.

    Args:
        labels: (N,) int in [0, K).
        logits: (N, K) float.
        temperature: float > 0; the largest logit is at most 1 / temperature.

    Returns:
        (N,) float, nats.

    Reference:
        Wei et al., "Mitigating Neural Network Overconfidence with Logit Normalization", ICML
        2022.
    """
    # Inside the root, so that the gradient at logits of zero is a number.
    squared_norms = ops.sum(ops.square(logits), axis=-1, keepdims=True) + NORM_EPSILON
    return cross_entropy(labels, logits / (temperature * ops.sqrt(squared_norms)))


def confidence(logits):
    """Largest softmax probability.

    Args:
        logits: (N, K) float.

    Returns:
        (N,) float in [1 / K, 1].
    """
    return ops.exp(ops.max(logits, axis=-1) + energy(logits))


def uniform_distance(logits):
    """L1 distance of the softmax from the uniform distribution; 0 where all logits are equal.

    Args:
        logits: (M, K) float.

    Returns:
        (M,) float in [0, 2 - 2 / K].

    Reference:
        Papadopoulos et al., "Outlier exposure with confidence control for out-of-distribution
        detection", Neurocomputing 2021, eq. 4.
    """
    probabilities = ops.softmax(logits, axis=-1)
    return ops.sum(ops.abs(probabilities - 1 / logits.shape[-1]), axis=-1)


def entropy(logits):
    """Entropy of the softmax: 0 for one certain class, ln K where all logits are equal.

    Args:
        logits: (N, K) float.

    Returns:
        (N,) float, nats.
    """
    return -energy(logits) - ops.sum(ops.softmax(logits, axis=-1) * logits, axis=-1)


def log_odds(logits, reject_logits):
    """Log-odds of the reject classes against the classes; of probability 1/2: 0.

    Args:
        logits: (N, K) float.
        reject_logits: (N, R) float, of the same softmax.

    Returns:
        (N,) float: ln(p / (1 - p)), p the sum of the R probabilities.
    """
    return energy(logits) - energy(reject_logits)
