"""The class that a classifier predicts, inside the graph."""

from kerasood import array_ops as ops


def predicted_class(logits):
    """The class with the largest logit, the first of several.

    `ops.top_k` and not `ops.argmax`, whose handling of -0.0 uses bit casts that small runtimes
    lack.

    Args:
        logits: (N, K) float32.

    Returns:
        (N,) int32.
    """
    _, classes = ops.top_k(logits, 1)
    return ops.squeeze(classes, axis=-1)


def predicted_mask(logits):
    """One-hot vectors of the predicted class; of equal logits the first one wins.

    Args:
        logits: (N, K) float32.

    Returns:
        (N, K) float32, one 1 per row.
    """
    return ops.one_hot(predicted_class(logits), logits.shape[-1], dtype="float32")
