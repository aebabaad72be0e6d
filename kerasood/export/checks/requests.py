"""Every signature of a SavedModel asked about the same images, before the SavedModel is kept."""

import io
import typing
from collections.abc import Sequence

import numpy as np

from kerasood.data.decoding import as_picture
from kerasood.export.checks.units import EXACT, unit_of
from kerasood.export.errors import ExportMismatch
from kerasood.export.graph.endpoints import SIGNATURE

NUM_CHECKED = 8
NO_IMAGE = b"no image"


def check_signatures(
    served: typing.Any, images: np.ndarray, class_names: Sequence[str] | None = None,
) -> None:
    """Compares what the signatures of a SavedModel answer with its default signature.

    Where images are taken as files, they are sent as PNG together with bytes that are no image.

    Args:
        served: ServedModel.
        images: uint8 array (N, H, W, 3 or 1), N >= 1, pixels 0-255; the first 8 are used.
        class_names: K str, the labels that it was exported with, or None for numbers.

    Raises:
        ExportMismatch: an output is missing or differs; numbers by more than `verify` allows.
    """
    images = images[:NUM_CHECKED]
    for signature in sorted(served_signatures(served) - {SIGNATURE}):
        definition = served.signatures[signature]
        pixels, is_encoded = images, "image_bytes" in definition.inputs
        if is_encoded:
            # One image more here too: other batch sizes may round otherwise.
            pixels = np.concatenate([images, np.zeros_like(images[:1])])
        expected = _expected(served.run({"images": pixels}), class_names)
        if is_encoded:
            _invalidate_last(expected)
        answers = served.run(as_inputs(definition, images, [NO_IMAGE]), signature)
        for name in definition.outputs:
            _compare(signature, name, answers[name], expected)


def served_signatures(served):
    """The names of the signatures that take a tensor; TensorFlow adds one to initialise."""
    return {name for name, definition in served.signatures.items() if definition.inputs}


def as_inputs(definition, images, more_files=()):
    """Images as the inputs of a signature: pixels, or PNG files and some more after them."""
    if "image_bytes" not in definition.inputs:
        return {"images": images}
    return {"image_bytes": np.array([*map(_as_png, images), *more_files], dtype=object)}


def _as_png(image):
    stream = io.BytesIO()
    as_picture(image).save(stream, "PNG")
    return stream.getvalue()


def _expected(outputs, class_names):
    """Outputs of the default signature together with those that other signatures derive."""
    classes = outputs["logits"].argmax(axis=-1)
    labels = [str(class_names[k] if class_names else k).encode() for k in classes]
    return {
        **outputs,
        "label": np.array(labels, dtype=object),
        "probability": outputs["probabilities"].max(axis=-1),
        "valid": np.ones(len(classes), dtype=bool),
    }


def _invalidate_last(expected):
    for name, output in expected.items():
        expected[name] = output = output.copy()
        output[-1] = {"label": b"", "is_ood": True}.get(name, 0)


def _compare(signature, name, answer, expected):
    if name not in expected:
        raise ExportMismatch(
            f"Expected outputs of {signature} out of {sorted(expected)}. Received: {name!r}"
        )
    outputs, expected = expected, expected[name]
    same = (answer.shape, answer.dtype) == (expected.shape, expected.dtype)
    if same and expected.dtype.kind == "f":
        same = np.all(np.abs(answer - expected) <= EXACT.of(name) * unit_of(name, outputs))
    elif same:
        same = np.array_equal(answer, expected)
    if not same:
        raise ExportMismatch(
            f"Expected {name} of {signature} as from {SIGNATURE}, {expected.tolist()}. "
            f"Received: {answer.tolist()}"
        )
