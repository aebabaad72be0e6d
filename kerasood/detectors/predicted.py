"""The predicted class as a mask: argmax for graphs that small runtimes can run."""

from keras import ops


def predicted_mask(logits):
    """One-hot vectors of the predicted class; of equal logits the first one wins.

    Args:
        logits: (N, K) float32.

    Returns:
        (N, K) float32, one 1 per row.
    """
    largest = ops.cast(logits >= ops.max(logits, axis=-1, keepdims=True), "float32")
    return largest * ops.cast(ops.cumsum(largest, axis=-1) <= 1.0, "float32")
