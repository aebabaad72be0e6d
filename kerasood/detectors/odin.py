"""Maximum softmax probability at a temperature, after a step on the image."""

from kerasood import array_ops as ops
from kerasood.detectors.checks import tensor_of
from kerasood.detectors.registry import register
from kerasood.detectors.stepped import SteppedDetector
from kerasood.errors import check_positive
from kerasood.training import objectives


@register("odin")
class ODIN(SteppedDetector):
    """Minus the maximum of softmax(logits / T) for an image moved towards its predicted class.

    The step is x - magnitude * sign(gradient of the predicted label's cross-entropy at T), with
    zero gradients counted as positive. The reference moves standardised pixels by the sign over
    the channel's standard deviation; that is this step on pixels in [0, 1], whatever the network
    does with them first.

    Args:
        temperature: float > 0.
        magnitude: float >= 0, share of the pixel range; 0 scores images as they are. The defaults
            are the paper's most common choice; better is to choose both on generated outliers
            (`kerasood.evaluation.choosing`).

    Reference:
        Liang et al., "Enhancing the Reliability of Out-of-distribution Image Detection in Neural
        Networks", ICLR 2018, eq. 1 and 2; details as in the energy score's released code.
    """

    GRID = {
        "temperature": (1.0, 10.0, 100.0, 1000.0),
        "magnitude": (0.0, 0.0004, 0.0008, 0.0014, 0.002, 0.0024, 0.0028, 0.0032, 0.0038, 0.0048),
    }

    def __init__(self, temperature: float = 1000.0, magnitude: float = 0.0014):
        self.temperature = temperature
        self.magnitude = magnitude

    def input_loss(self, outputs):
        scaled = self._scaled({"logits": tensor_of(outputs, "logits")})
        # The cross-entropy of the predicted class; its label is constant under the gradient.
        return -objectives.energy(scaled) - ops.max(scaled, axis=-1)

    def _score(self, outputs):
        scaled = self._scaled(outputs)
        largest = ops.max(scaled, axis=-1, keepdims=True)
        return -1.0 / ops.sum(ops.exp(scaled - largest), axis=-1)

    def _scaled(self, outputs):
        check_positive(temperature=self.temperature)
        return outputs["logits"] / self.temperature
