"""Hashes that tell two models apart, by their weights and how they are put together."""

import hashlib
import json

import numpy as np


def weights_hash(model):
    """sha256 of the weights of a model, in their order: str of 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(f"{weight.dtype} {weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def model_hash(model):
    """sha256 of weights and configuration, standardisation of the pixels included.

    Two models with the same hash answer alike on the same device.

    Returns:
        str of 64 hexadecimal digits; None for a model with code of its own and no configuration,
        where equal weights need not mean equal answers.
    """
    try:
        config = model.to_json()
    except (NotImplementedError, TypeError, ValueError):
        return None
    parts = json.dumps([type(model).__name__, config, weights_hash(model)])
    return hashlib.sha256(parts.encode()).hexdigest()
