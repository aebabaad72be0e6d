"""Base of ReAct, DICE, ASH and SCALE: other features or weights in front of any score."""

import abc
import typing

import numpy as np
from sklearn.base import clone

from kerasood import array_ops as ops
from kerasood.detectors._math.rows import row_blocks
from kerasood.detectors.base import Detector
from kerasood.detectors.checks import tensor_of
from kerasood.detectors.energy import Energy
from kerasood.errors import InvalidInputError


class Rectifier(Detector):
    """Changes features or the head's weights, and scores what the classifier then says.

    The score is the inner detector's, of the rectified features and of
    logits = rectified features @ kernel + bias. An inner detector that learns is fitted to these;
    they are held in memory for it. Rectifiers nest: `ReAct(detector=DICE())`.

    A subclass implements `rectify` and, if it learns, `_learn`.

    Args:
        detector: Detector that scores, or None for `Energy()`.
    """

    learns = True
    needs_head = True

    def __init__(self, detector: Detector | None = None):
        self.detector = detector

    @property
    def reads(self):
        others = [name for name in self._scorer.reads if name not in ("features", "logits")]
        return ("features", *others)

    @property
    def needs_labels(self):
        return self._scorer.needs_labels

    @property
    def on_backend(self):
        return self._scorer.on_backend

    @property
    def input_step(self):
        return self._scorer.input_step

    def input_loss(self, outputs):
        tensors = {name: tensor_of(outputs, name) for name in self._read(outputs)}
        return self._fitted_scorer.input_loss(self._rectified(tensors))

    @abc.abstractmethod
    def rectify(self, features: typing.Any) -> typing.Any:
        """Changes features (N, D) float32 into what the head is to see instead, (N, D)."""

    def _learn(self, features, kernel):
        """Learns from training features; returns the kernel (D, K) that scores."""
        return kernel

    def _fit(self, outputs, labels, head):
        kernel, bias = head
        kernel = self._learn(outputs["features"], kernel)
        self._keep(kernel_=kernel, bias_=bias)
        if self.detector is not None:
            inner = clone(self.detector)
            rectified = self._rectified_arrays(outputs) if inner.learns else outputs
            self.detector_ = inner.fit(rectified, labels, (kernel, bias))

    def _score(self, outputs):
        scorer = self._fitted_scorer
        return scorer._score(scorer._read(self._rectified(outputs)))

    @property
    def _scorer(self):
        if not isinstance(self.detector, Detector | None):
            raise InvalidInputError(
                f"Expected a Detector, or None for Energy(). Received: {self.detector!r}"
            )
        return Energy() if self.detector is None else self.detector

    @property
    def _fitted_scorer(self):
        return Energy() if self.detector is None else self.detector_

    def _rectified(self, outputs):
        features = self.rectify(outputs["features"])
        logits = ops.add(ops.matmul(features, self.kernel_), self.bias_)
        return {**outputs, "features": features, "logits": logits}

    def _rectified_arrays(self, outputs):
        """Rectified outputs for the fit of an inner detector, float32, filled block by block."""
        num_images, num_features = outputs["features"].shape
        arrays = {
            "features": np.empty((num_images, num_features), "float32"),
            "logits": np.empty((num_images, len(self.bias_)), "float32"),
        }
        arrays = {name: array for name, array in arrays.items() if name in self._scorer.reads}
        start = 0
        for (block,) in row_blocks(outputs["features"], dtype="float32"):
            rectified = self._rectified({"features": block})
            for name, array in arrays.items():
                array[start : start + len(block)] = rectified[name]
            start += len(block)
        return {**outputs, **arrays}
