"""Free energy of the logits."""

from kerasood.detectors.base import Detector
from kerasood.detectors.registry import register
from kerasood.errors import check_positive
from kerasood.training import objectives


@register("energy")
class Energy(Detector):
    """The energy -T * logsumexp(logits / T).

    Args:
        temperature: float > 0, nats; 1 in the paper.

    Reference:
        Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020, eq. 4.
    """

    def __init__(self, temperature: float = 1.0):
        self.temperature = temperature

    def _score(self, outputs):
        check_positive(temperature=self.temperature)
        return objectives.energy(outputs["logits"], self.temperature)
