"""Hashes that tell two models apart, by their weights and how they are put together."""

import hashlib
import json

import numpy as np

from kerasood.extractor.own_code import has_own_code, sample_answers


def weights_hash(model):
    """sha256 of the weights of a model, in their order: str of 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(f"{weight.dtype} {weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def model_hash(model):
    """sha256 of weights and configuration, standardisation of the pixels included.

    Two models with the same hash answer alike on the same device. The configuration of a model
    with code of its own may say less than it computes with: its answers to a few images count too.

    Returns:
        str of 64 hexadecimal digits; None for a model with code of its own that has no
        configuration or does not answer such images.
    """
    answers = []
    try:
        config = model.to_json()
        if has_own_code(model):
            answers = [array.tobytes().hex() for array in sample_answers(model)]
    except Exception:  # others' code may raise anything; such a model has no hash
        return None
    parts = json.dumps([type(model).__name__, config, weights_hash(model), *answers])
    return hashlib.sha256(parts.encode()).hexdigest()
