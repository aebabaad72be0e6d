"""Weights in half the bytes: kernels as float16, all that is a vector as float32."""

import hashlib
import io

import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.files import atomic_path


def write_weights(path, variables):
    """Writes weights as an .npz file without pickled objects, named by their layers.

    Vectors (batch normalisation and biases) stay float32: they are a hundredth of the weights, and
    scales and variances may be smaller than float16 can say.

    Args:
        path: str or Path.
        variables: weights of a network.

    Returns:
        sha256 of the file: str of 64 hexadecimal digits.

    Raises:
        ValueError: a kernel is not finite in float16.
    """
    stored = {}
    for variable in variables:
        values = np.asarray(variable.numpy(), "float32")
        with np.errstate(over="ignore"):
            stored[variable.path] = values.astype("float16") if values.ndim > 1 else values
        if not np.isfinite(stored[variable.path]).all():
            raise InvalidInputError(
                f"Expected weights within float16's range, at most 65504. Received: "
                f"{np.abs(values).max():g} in {variable.path}"
            )
    content = io.BytesIO()
    np.savez_compressed(content, **stored)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


def read_weights(path, variables, sha256):
    """Reads what `write_weights` wrote.

    Args:
        path: Path.
        variables: weights of the network that shall receive them.
        sha256: str, of the file as it was written.

    Returns:
        list of float32 arrays in the order of `variables`.

    Raises:
        ValueError: the file is another one than was written, or of another network.
        FileNotFoundError: it is missing.
    """
    content = path.read_bytes()
    received = hashlib.sha256(content).hexdigest()
    if received != sha256:
        raise InvalidInputError(
            f"Expected weights of sha256 {sha256} in {path}. Received: {received}: the file is "
            "damaged or was replaced; install kerasood again"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        shapes = {name: stored[name].shape for name in stored.files}
        expected = {variable.path: tuple(variable.shape) for variable in variables}
        if shapes != expected:
            differing = sorted(dict(shapes.items() ^ expected.items()))
            raise InvalidInputError(
                f"Expected the weights of the network that is described beside {path}. Received: "
                f"others ({', '.join(differing)})"
            )
        return [stored[variable.path].astype("float32") for variable in variables]
