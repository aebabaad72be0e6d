"""Numerator or divisor of a decomposed confidence."""

from kerasood import array_ops as ops
from kerasood.detectors.checks import tensor_of
from kerasood.detectors.registry import register
from kerasood.detectors.stepped import SteppedDetector
from kerasood.errors import InvalidInputError


@register("g_odin")
class GODIN(SteppedDetector):
    """Minus the largest numerator, or the divisor, of a network that ends in a `DeconfHead`.

    Such a network's logits are h_k(x) / g(x). Its outputs "numerators" (N, K) are the h, "divisor"
    (N, 1) is g; see `kerasood.networks.decomposed_head`.

    Args:
        scored: "numerators" for -max h_k(x) or "divisor" for -g(x); the paper compares both.
        magnitude: float >= 0, share of the pixel range: a step on the image that lowers this score
            before it is taken; 0 scores images as they are. Chosen, as in the paper, on
            in-distribution images alone: the step after which they score lowest.

    Reference:
        Hsu et al., "Generalized ODIN: Detecting Out-of-distribution Image without Learning from
        Out-of-distribution Data", CVPR 2020, section 3.
    """

    step_for_in_distribution = True
    GRID = {
        "scored": ("numerators", "divisor"),
        "magnitude": (0.0, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08),
    }

    def __init__(self, scored: str = "numerators", magnitude: float = 0.0):
        self.scored = scored
        self.magnitude = magnitude

    @property
    def reads(self):
        if self.scored not in ("numerators", "divisor"):
            raise InvalidInputError(
                f"Expected scored='numerators' or 'divisor'. Received: {self.scored!r}"
            )
        return (self.scored,)

    def input_loss(self, outputs):
        return self._score({name: tensor_of(outputs, name) for name in self.reads})

    def _score(self, outputs):
        return -ops.max(outputs[self.scored], axis=-1)
