"""Simplified Hopfield energy: likeness to the pattern of the predicted class."""

import numpy as np

from kerasood import array_ops as ops
from kerasood.detectors._math.predicted import predicted_class
from kerasood.detectors._math.rows import row_blocks
from kerasood.detectors._math.statistics import class_sums
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register


@register("she")
class SHE(Detector):
    """Minus the inner product of the features with the stored pattern of the predicted class.

    A class's pattern is the mean of the features of its training images that are classified
    correctly. A class without such images stores zeros, so that images predicted as it score 0.

    Reference:
        Zhang et al., "Out-of-Distribution Detection based on In-Distribution Data Patterns
        Memorization with Modern Hopfield Energy", ICLR 2023 (SHE).
    """

    reads = ("features", "logits")
    learns = True
    needs_labels = True

    def _fit(self, outputs, labels, head):
        sums = counts = 0.0
        num_classes = outputs["logits"].shape[1]
        for features, logits, classes in row_blocks(*outputs.values(), labels):
            correct = logits.argmax(axis=1) == classes
            sums += class_sums(features[correct], classes[correct], num_classes)
            counts += np.bincount(classes[correct], minlength=num_classes)
        self._keep(patterns_=sums / np.maximum(counts, 1)[:, None])

    def _score(self, outputs):
        patterns = ops.take(self.patterns_, predicted_class(outputs["logits"]), axis=0)
        return -ops.sum(outputs["features"] * patterns, axis=-1)
