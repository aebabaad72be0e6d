"""What training minimises and detection measures: pure functions of logits and features.

Every function returns one value per image, so that averaging, weighting and logging stay with the
caller, and runs on any Keras backend.
"""

from keras import ops


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
    scaled = logits / temperature
    # Written out: keras.ops.logsumexp guards infinities with ops that small runtimes lack.
    largest = ops.max(scaled, axis=-1, keepdims=True)
    log_sum = ops.log(ops.sum(ops.exp(scaled - largest), axis=-1))
    return -temperature * (log_sum + ops.squeeze(largest, axis=-1))


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
        raise ValueError(
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
