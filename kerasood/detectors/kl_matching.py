"""Distance of the softmax to the typical softmax of the nearest class."""

import numpy as np

from kerasood import array_ops as ops
from kerasood.detectors._math.rows import row_blocks
from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register

# Where training images give a class no probability at all in float64.
SMALLEST_PROBABILITY = np.finfo("float64").tiny


@register("kl_matching")
class KLMatching(Detector):
    """min over classes k of KL(softmax || d_k), d_k = the mean softmax of images predicted as k.

    The paper takes the means over validation images; here they are over the images fitted on.
    Labels are not needed; classes that are never predicted have no d_k.

    Reference:
        Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings",
        ICML 2022 (KL matching).
    """

    learns = True

    def _fit(self, outputs, labels, head):
        num_classes = outputs["logits"].shape[1]
        sums, counts = np.zeros((num_classes, num_classes)), np.zeros(num_classes)
        for (logits,) in row_blocks(outputs["logits"]):
            predicted = np.argmax(logits, axis=1)
            members = predicted == np.arange(num_classes)[:, None]
            sums += members.astype("float64") @ _softmax(logits)
            counts += members.sum(axis=1)
        present = counts > 0
        means = sums[present] / counts[present, None]
        self._keep(log_means_=np.log(np.maximum(means, SMALLEST_PROBABILITY)))

    def _score(self, outputs):
        log_softmax = ops.log_softmax(outputs["logits"], axis=-1)
        probabilities = ops.exp(log_softmax)
        negative_entropy = ops.sum(probabilities * log_softmax, axis=-1, keepdims=True)
        cross_entropies = -ops.matmul(probabilities, ops.transpose(self.log_means_))
        return ops.min(negative_entropy + cross_entropies, axis=-1)


def _softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
