"""Checks of what detectors are fitted on and score."""

import numpy as np
from keras import ops

from kerasood.data.labels import checked_labels
from kerasood.detectors._math.rows import column_means
from kerasood.errors import InvalidInputError

CLASS_OUTPUTS = ("logits", "logits_2", "numerators")  # one column per class


def tensor_of(outputs, name):
    """An output as a float32 tensor of shape (N, D), or (N, K) with K >= 2 for one of classes."""
    tensor = ops.convert_to_tensor(outputs[name], dtype="float32")
    check_shape(name, tensor.shape)
    return tensor


class CheckedOutputs(dict):
    """Outputs to fit on, NumPy arrays of finite floats.

    Attributes:
        means: {name: (D,) float64}, the mean of each column, which the check gives.
    """

    def __init__(self, outputs):
        super().__init__({name: _array(name, value) for name, value in outputs.items()})
        self.means = {name: column_means(array) for name, array in self.items()}
        for name, means in self.means.items():
            if not np.isfinite(means).all():
                raise InvalidInputError(
                    f"Expected finite {name} to fit on. Received: NaN or infinity in them"
                )


def _array(name, value):
    array = value if isinstance(value, np.ndarray) else np.asarray(ops.convert_to_numpy(value))
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        array = np.asarray(ops.convert_to_numpy(ops.cast(value, "float32")))
    check_shape(name, array.shape)
    return array


def check_shape(name, shape):
    """Refuses shapes other than (N, D), or (N, K) with K >= 2 for an output of classes."""
    columns, least = ("K", 2) if name in CLASS_OUTPUTS else ("D", 1)
    if len(shape) != 2 or shape[-1] is not None and shape[-1] < least:
        raise InvalidInputError(
            f"Expected {name} of shape (N, {columns}) with {columns} >= {least}. "
            f"Received: shape={tuple(shape)}"
        )


def common_length(outputs, least):
    """The number of images of all outputs, at least `least`; None where no shape tells it."""
    # Of a tensor in a graph it may not be known.
    lengths = {
        name: array.shape[0] for name, array in outputs.items() if array.shape[0] is not None
    }
    if len(set(lengths.values())) > 1 or min(lengths.values(), default=least) < least:
        raise InvalidInputError(
            f"Expected outputs of as many images, at least {least}. Received: {lengths}"
        )
    return next(iter(lengths.values()), None)


def labels_to_fit(labels, num_images, outputs):
    """Labels as int32 (N,)."""
    if labels is None:
        raise InvalidInputError("Expected the labels of the images to fit on. Received: None")
    num_classes = outputs["logits"].shape[1] if "logits" in outputs else None
    return checked_labels(labels, num_images, num_classes, "labels to fit on")


def head_to_fit(head, outputs):
    """(kernel, bias) in float64 of a head that fits the outputs."""
    if head is None:
        raise InvalidInputError(
            "Expected the head's weights, (kernel (D, K), bias (K,)), to fit on. Received: None"
        )
    if not (isinstance(head, tuple | list) and len(head) == 2):
        raise InvalidInputError(
            "Expected a head (kernel (D, K), bias (K,)), as `head_of` gives it. "
            f"Received: {type(head).__name__}"
        )
    kernel, bias = (np.asarray(part, "float64") for part in head)
    num_features = outputs["features"].shape[1] if "features" in outputs else kernel.shape[0]
    if kernel.ndim != 2 or bias.shape != kernel.shape[1:] or len(kernel) != num_features:
        raise InvalidInputError(
            f"Expected a head of shapes ({num_features}, K) and (K,). "
            f"Received: {kernel.shape} and {bias.shape}"
        )
    if "logits" in outputs and outputs["logits"].shape[1] != len(bias):
        raise InvalidInputError(
            f"Expected the head of {outputs['logits'].shape[1]} logits. "
            f"Received: one of {len(bias)}"
        )
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise InvalidInputError(
            "Expected finite weights of the head. Received: NaN or infinity in them"
        )
    return kernel, bias
