"""Exported models of any format, opened once and asked batch by batch."""

import contextlib
import dataclasses
import math
import pathlib
import typing

import numpy as np

from kerasood.data.decoding import DEFAULT, Resizing
from kerasood.data.passes import images_per_pass
from kerasood.errors import InvalidInputError, MissingDataError

ANSWERS = ("probabilities", "score", "is_ood")


@dataclasses.dataclass(frozen=True)
class Scorer:
    """An opened model.

    Every batch is filled up to one size, so that an image's answer does not depend on how many
    others came with it, nor on which machine they were put together.

    Args:
        ask: function of uint8 (N, H, W, C) -> {"probabilities" (N, K), "score" (N,), "is_ood"
            (N,)}.
        image_shape: (H, W, C).
        resizing: Resizing of files of other sizes, as in the network's training.
        class_names: tuple of str, or None.
        threshold: Threshold or PerClassThreshold with its promise, or None.
        batch_size: int, images in a pass.
    """

    ask: typing.Callable
    image_shape: tuple[int, int, int]
    resizing: Resizing
    class_names: tuple[str, ...] | None
    threshold: typing.Any
    batch_size: int

    def answer(self, images):
        """Answers for images.

        Args:
            images: uint8 (n, H, W, C), 1 <= n <= batch_size.

        Returns:
            {"label": list of str, "probability": (n,), "score": (n,), "is_ood": (n,)}.
        """
        filled = np.zeros((self.batch_size, *self.image_shape), "uint8")
        filled[: len(images)] = images
        answered = self.ask(filled)
        outputs = {name: np.asarray(answered[name])[: len(images)] for name in ANSWERS}
        probabilities = outputs["probabilities"]
        best = probabilities.argmax(axis=1)
        return {
            "label": [self._label(index) for index in best],
            "probability": probabilities[np.arange(len(best)), best],
            "score": outputs["score"],
            "is_ood": outputs["is_ood"].astype(bool),
        }

    def _label(self, index):
        return str(index) if self.class_names is None else self.class_names[index]


@contextlib.contextmanager
def open_scorer(path, batch_size=None):
    """Opens an exported model.

    Args:
        path: str or Path: a SavedModel folder, a .tflite, .onnx or .xml (OpenVINO) file, or a
            .keras file of an OODModel.
        batch_size: int, images in a pass; by default 64, of large images fewer.

    Yields:
        Scorer.

    Raises:
        MissingDataError: there is nothing at `path`.
        InvalidInputError: it is no such model.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise MissingDataError(f"Expected an exported model. Received: {path}, which is missing")
    kind = path.suffix if path.suffix in _OPENERS else ""
    if not kind and not (path / "saved_model.pb").is_file():
        raise InvalidInputError(
            f"Expected a SavedModel folder or a {', '.join(filter(None, _OPENERS))} file. "
            f"Received: {path}"
        )
    with _OPENERS[kind](path) as (ask, facts):
        image_shape = tuple(facts["image_shape"])
        pixels = math.prod(side or 1 for side in image_shape[:2])
        way = facts.get("preprocessing") or {"resizing": DEFAULT.method, "antialias": True}
        yield Scorer(
            ask,
            image_shape,
            Resizing(method=way["resizing"], antialias=way["antialias"]),
            tuple(facts["class_names"]) if facts.get("class_names") else None,
            facts["threshold"],
            batch_size or images_per_pass(pixels, at_most=64),
        )


@contextlib.contextmanager
def _keras(path):
    import keras

    from kerasood.networks.saving import load_network
    from kerasood.serving import OODModel
    from kerasood.thresholds import read_threshold

    model = load_network(path)
    if not isinstance(model, OODModel):
        raise InvalidInputError(
            f"Expected an OODModel in {path}, which has a detector and a threshold. "
            f"Received: {type(model).__name__}"
        )

    def ask(images):
        outputs = model.predict_on_batch(images)
        return {name: keras.ops.convert_to_numpy(outputs[name]) for name in ANSWERS}

    yield ask, {
        **model.metadata,
        "image_shape": model.image_shape,
        "threshold": model.calibration and read_threshold(model.calibration),
    }


@contextlib.contextmanager
def _saved_model(path):
    from kerasood.export.formats.saved_model import load_served

    with load_served(path) as served:
        yield lambda images: served.run({"images": images}), _facts(path)


@contextlib.contextmanager
def _tflite(path):
    from kerasood.export.formats.tflite import open_tflite
    from kerasood.quiet import quiet

    with quiet():
        runner = open_tflite(path).get_signature_runner("serving_default")
    yield lambda images: runner(images=images), _facts(path)


@contextlib.contextmanager
def _onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    (spec,) = session.get_inputs()

    def ask(images):
        return dict(zip(names, session.run(names, {spec.name: images}), strict=True))

    yield ask, _facts(path)


@contextlib.contextmanager
def _openvino(path):
    from kerasood.export.formats.openvino import open_openvino

    model = open_openvino(path)

    def ask(images):
        results = model({"images": images})
        return {output.get_any_name(): results[output] for output in model.outputs}

    yield ask, _facts(path)


_OPENERS = {
    "": _saved_model,
    ".keras": _keras,
    ".tflite": _tflite,
    ".onnx": _onnx,
    ".xml": _openvino,
}


def _facts(path):
    """Facts of a file: image shape, class names, and its threshold if it promises."""
    from kerasood.export.metadata import read_calibration, read_metadata

    metadata = read_metadata(path)
    promise = read_calibration(path) if metadata.get("calibration") else None
    return {**metadata, "threshold": promise}
