"""The contract of every detector."""

import abc
import typing
from collections.abc import Iterable, Mapping

import numpy as np
from keras import ops
from keras.backend import backend
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from kerasood.detectors._math.on_host import score_on_host
from kerasood.detectors._math.rows import row_blocks
from kerasood.detectors.checks import (
    CheckedOutputs,
    check_shape,
    common_length,
    head_to_fit,
    labels_to_fit,
    tensor_of,
)
from kerasood.errors import InvalidInputError

# Arrays or tensors (N, ...) by name; kernel (D, K) and bias (K,).
Outputs: typing.TypeAlias = Mapping[str, typing.Any]
Head: typing.TypeAlias = tuple[ArrayLike, ArrayLike]


class Detector(BaseEstimator, abc.ABC):
    """A scikit-learn estimator over a model's outputs; it knows no model.

    `__init__` only stores its arguments. `fit` writes attributes that end in `_`, computed in
    float64 and stored as float32 arrays, and returns the detector. `score` uses
    `kerasood.array_ops` alone, so that the same line runs in NumPy on arrays, eagerly on tensors
    and inside an exported graph.

    A subclass implements `_score` and, if it learns, `_fit`, and says what they need:

    Attributes:
        reads: names of the outputs that it works on: "features" and "logits", which every
            extractor gives, others such as "logits_2" for networks that have them, or "hidden"
            for all outputs whose names start with "hidden/".
        learns: whether it must be fitted.
        needs_labels: whether fitting needs the classes of the images.
        needs_head: whether fitting needs the weights of the classifier's head.
        on_backend: whether arrays are scored as tensors, for work that is worth the backend's
            threads or its accelerator; else in NumPy, where calls cost next to nothing.
        step_for_in_distribution: whether the step on the image is chosen on in-distribution images
            alone, as that after which they score lowest; else on generated outliers too.
        GRID: {parameter: values} to choose from, for parameters that depend on the model; the
            default of each is among its values.
    """

    reads: tuple[str, ...] = ("logits",)
    learns = False
    needs_labels = False
    needs_head = False
    on_backend = False
    step_for_in_distribution = False
    GRID: dict[str, tuple] = {}

    @property
    def input_step(self) -> float:
        """Step against the gradient of `input_loss` that images take before they are scored.

        A share of the pixel range 0-255; 0 means that images are scored as they are.
        """
        return 0.0

    def fit(
        self, outputs: Outputs, labels: ArrayLike | None = None, head: Head | None = None
    ) -> "Detector":
        """Learns what the detector needs from in-distribution training images.

        Args:
            outputs: {"features": (N, D), "logits": (N, K)} float32; memory-mapped arrays will do.
            labels: (N,) or (N, 1) int in [0, K), for detectors that need classes.
            head: (kernel (D, K), bias (K,)) with logits = features @ kernel + bias, for detectors
                that need the weights of the classifier's last layer.

        Returns:
            The detector itself.

        Raises:
            ValueError: an output is missing, of another shape or not finite, or labels or head are
                missing or do not fit.
        """
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        if self.learns:
            outputs = CheckedOutputs(self._read(outputs))
            num_images = common_length(outputs, least=1)
            if self.needs_labels:
                labels = labels_to_fit(labels, num_images, outputs)
            if self.needs_head:
                head = head_to_fit(head, outputs)
            self._fit(outputs, labels, head)
            widths = [array.shape[1] for array in outputs.values()]
            self.widths_ = np.array(widths, "int32")
        return self

    def score(self, outputs: Outputs) -> typing.Any:
        """Scores images; higher = more out-of-distribution.

        Args:
            outputs: {"features": (N, D), "logits": (N, K)} float32, arrays or tensors.

        Returns:
            (N,) float32: an array for arrays, a tensor where there is a tensor among the outputs.

        Raises:
            sklearn.exceptions.NotFittedError: the detector learns and was not fitted; a ValueError.
            ValueError: an output is missing or of another shape.
        """
        outputs = self._read(outputs)
        of_arrays = all(isinstance(value, np.ndarray) for value in outputs.values())
        if of_arrays and not self.on_backend:
            return self._score_arrays(outputs)
        tensors = {name: tensor_of(outputs, name) for name in outputs}
        self.check_fits({name: tensor.shape for name, tensor in tensors.items()})
        common_length(tensors, least=0)
        scores = self._score_tensors(tensors)
        return np.asarray(ops.convert_to_numpy(scores)) if of_arrays else scores

    def _score_arrays(self, arrays):
        """Scores arrays in NumPy, as many rows at a time as a processor's cache holds."""
        self.check_fits({name: array.shape for name, array in arrays.items()})
        scores, start = np.empty(common_length(arrays, least=0), "float32"), 0
        with np.errstate(all="ignore"):  # as backends do
            for rows in row_blocks(*arrays.values(), dtype=None):
                blocks = (np.asarray(block, "float32") for block in rows)
                end = start + len(rows[0])
                scores[start:end] = self._score(dict(zip(arrays, blocks, strict=True)))
                start = end
        return scores

    def _score_tensors(self, tensors):
        if 0 in {tensor.shape[0] for tensor in tensors.values()}:  # of no rows: no maximum
            return ops.zeros((0,), "float32")
        return score_on_host(self, tensors) if backend() == "torch" else self._score(tensors)

    def check_fits(self, shapes: Mapping[str, tuple]) -> None:
        """Refuses outputs that this detector cannot score, before there are any.

        Args:
            shapes: {"features": (N, D), "logits": (N, K)}, of the outputs to come.

        Raises:
            sklearn.exceptions.NotFittedError: the detector learns and was not fitted; a ValueError.
            ValueError: an output is missing or of another width than those it was fitted on.
        """
        if self.learns:
            check_is_fitted(self)
        shapes = self._read(shapes)
        for name, shape in shapes.items():
            check_shape(name, shape)
        if not self.learns:
            return
        if len(self.widths_) != len(shapes):
            raise InvalidInputError(
                f"Expected the {len(self.widths_)} outputs that {type(self).__name__} was fitted "
                f"on. Received: {', '.join(shapes)}"
            )
        for width, (name, shape) in zip(self.widths_, shapes.items(), strict=True):
            if shape[-1] is not None and shape[-1] != width:
                raise InvalidInputError(
                    f"Expected {name} of shape (N, {width}), on which {type(self).__name__} was "
                    f"fitted. Received: shape={tuple(shape)}"
                )

    def input_loss(self, outputs: Outputs) -> typing.Any:
        """Loss that a step on the image lowers before it is scored, for detectors with such a step.

        Args:
            outputs: as for `score`.

        Returns:
            (N,) float32 tensor.
        """
        raise NotImplementedError(f"{type(self).__name__} scores images as they are")

    def _fit(self, outputs, labels, head):
        """Fits on CheckedOutputs; leaves its results through `_keep`."""
        raise NotImplementedError

    def _keep(self, **attributes):
        """Stores the results of a fit, computed in float64, as float32 arrays."""
        for name, value in attributes.items():
            setattr(self, name, np.asarray(value, "float32"))

    @abc.abstractmethod
    def _score(self, outputs):
        """Scores checked float32 tensors."""

    def missing(self, names: Iterable[str]) -> list[str]:
        """The outputs that this detector reads and that are not among some names."""
        return [name for name in self._names_read(names) if name not in names]

    def _read(self, outputs):
        """The outputs that this detector reads, in a fixed order."""
        if not isinstance(outputs, Mapping):
            raise InvalidInputError(
                'Expected outputs by name, {"features": (N, D), "logits": (N, K)}. '
                f"Received: {type(outputs).__name__}"
            )
        names = self._names_read(outputs)
        if self.missing(outputs):
            raise InvalidInputError(
                f"{type(self).__name__} needs the outputs {', '.join(names)}. "
                f"Received: {', '.join(sorted(outputs)) or 'none'}"
            )
        return {name: outputs[name] for name in names}

    def _names_read(self, available):
        names = [name for name in self.reads if name != "hidden"]
        if "hidden" in self.reads:
            hidden = sorted(name for name in available if name.startswith("hidden/"))
            names += hidden or ["hidden/..."]
        return names
