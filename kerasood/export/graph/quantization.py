"""Smaller TFLite files: what is quantised, and what must not be.

The weights are; in "int8" also what flows between the network's layers. The head, the detector and
the comparison with the threshold stay float32 there: in int8 the largest logit decides about an
energy alone and leaves it some hundred values. In "float16" the converter rounds every constant,
the threshold among them, which `decide` makes up for.
"""

import dataclasses
import typing
import warnings

import numpy as np
import tensorflow as tf

from kerasood.errors import InvalidInputError
from kerasood.export.graph.endpoints import SIGNATURE
from kerasood.serving import check_images, is_beyond, threshold_per_image

KINDS = ("float16", "dynamic", "int8")
QUANTIZATIONS = ("none", *KINDS)
# Least correlation of an output with Keras's. A sound file stays above, also where int8 cuts off
# values that no training image had; what is below is broken, whatever it was measured on.
LEAST_CORRELATION = {"float16": 0.99, "dynamic": 0.95, "int8": 0.8}
_BATCH = 8


@dataclasses.dataclass(frozen=True)
class Quantization:
    """Kind of quantisation of a TFLite file.

    Args:
        kind: "float16" (half the size), "dynamic" (a quarter: int8 weights) or "int8" (int8 weights
            and layers, for integer hardware).
        representative: uint8 array (N, H, W, 3), pixels 0-255, of training images: the ranges of
            the layers in "int8" come from them; a hundred will do.

    Raises:
        ValueError: an unknown kind, or "int8" without images.
    """

    kind: str
    representative: typing.Any = None

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InvalidInputError(
                f"Expected a quantization out of {', '.join(KINDS)}. Received: {self.kind!r}"
            )
        if self.kind == "int8" and (self.representative is None or not len(self.representative)):
            raise InvalidInputError(
                "Expected representative training images for the quantization 'int8'. "
                "Received: none"
            )


def servable(ood_model, quantization):
    """The function of images that is converted: the model, deciding exactly in float16 too."""
    if quantization is None or quantization.kind != "float16":
        return ood_model.__call__

    def serve(images):
        outputs = ood_model(images)
        return {**outputs, "is_ood": decide(outputs, ood_model.threshold)}

    return serve


def decide(outputs, threshold):
    """`not (score <= threshold)` of float32 numbers with constants that float16 can hold.

    Args:
        outputs: {"score": (N,), "logits": (N, K)} float32 tensors.
        threshold: float, or tuple of K floats, float32 numbers.

    Returns:
        (N,) bool tensor.
    """
    scale, pieces = float16_pieces(threshold)
    first, *rest = [threshold_per_image(piece, outputs["logits"]) for piece in pieces]
    # Exact where it matters: scores near the threshold differ from it in their last bits alone.
    left = outputs["score"] * scale - first
    for piece in rest[:-1]:
        # Else the converter adds the constants up again. Both sides are far below float16's limit.
        left = left - piece
    return is_beyond(left, rest[-1])


def float16_pieces(threshold):
    """Splits a threshold into numbers that float16 holds.

    Args:
        threshold: float, or tuple of K floats, float32 numbers.

    Returns:
        (scale, three pieces): the sum of the pieces is `scale * threshold`; `scale` a power of two
        that brings the largest threshold near the middle of float16's range.
    """
    values = np.asarray(threshold, "float64")
    exponent = int(np.clip(14 - np.frexp(np.abs(values).max())[1], -14, 15))
    rest = values * 2.0**exponent
    pieces = []
    for _ in range(3):
        pieces.append(rest.astype("float16").astype("float64"))
        rest = rest - pieces[-1]
    return 2.0**exponent, [
        tuple(piece.tolist()) if piece.ndim else float(piece) for piece in pieces
    ]


def quantize(converter, quantization, ood_model, plain_ops):
    """Converts with a quantization.

    Args:
        converter: tf.lite.TFLiteConverter.
        quantization: Quantization.
        ood_model: OODModel that is converted.
        plain_ops: names of the outputs of all ops of the unquantised file.

    Returns:
        bytes of a .tflite file.
    """
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization.kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization.kind != "int8":
        return converter.convert()
    images = check_images(quantization.representative, ood_model.image_shape)
    batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
    converter.representative_dataset = lambda: (
        (SIGNATURE, {"images": batch}) for batch in batches
    )
    inside = f"/{ood_model.network.name}"
    options = tf.lite.experimental.QuantizationDebugOptions(
        denylisted_nodes=[name for name in plain_ops if inside not in name]
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter,
            debug_dataset=converter.representative_dataset,
            debug_options=options,
        )
        return debugger.get_nondebug_quantized_model()
