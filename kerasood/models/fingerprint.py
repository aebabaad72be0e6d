"""What tells two models apart: their weights and how they are put together."""

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
    """
    config = model.to_json() if hasattr(model, "to_json") else type(model).__name__
    parts = json.dumps([type(model).__name__, config, weights_hash(model)])
    return hashlib.sha256(parts.encode()).hexdigest()
