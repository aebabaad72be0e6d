"""Scores of PyTorch's tensors, which do not mix with arrays on a GPU or under gradients."""

import keras
from keras import ops


def score_on_host(detector, tensors):
    """Scores tensors on the CPU, where what a detector learned lies as arrays.

    Args:
        detector: fitted Detector.
        tensors: {"features": (N, D), "logits": (N, K)} float32, on any device.

    Returns:
        (N,) float32 tensor on the default device, without a gradient.
    """
    arrays = {name: ops.convert_to_numpy(tensor) for name, tensor in tensors.items()}
    if not detector.on_backend:
        return ops.convert_to_tensor(detector.score(arrays))
    with keras.device("cpu"):
        on_cpu = {name: ops.convert_to_tensor(array) for name, array in arrays.items()}
        scores = ops.convert_to_numpy(detector._score(on_cpu))
    return ops.convert_to_tensor(scores)
