"""Detectors whose images take a step against the gradient of a loss before they are scored."""

import copy

from kerasood.detectors.base import Detector
from kerasood.errors import InvalidInputError, check_not_negative


class SteppedDetector(Detector):
    """A detector with a parameter `magnitude`, the step as a share of the pixel range."""

    @property
    def input_step(self):
        check_not_negative(magnitude=self.magnitude)
        return self.magnitude


def without_step(detector):
    """A copy of a detector, as it was fitted, that scores images as they are.

    Raises:
        InvalidInputError: its step has another name than `magnitude`.
    """
    copied = copy.deepcopy(detector)
    steps = (name for name in copied.get_params() if name.split("__")[-1] == "magnitude")
    copied.set_params(**dict.fromkeys(steps, 0.0))
    if copied.input_step:
        raise InvalidInputError(
            "Expected a detector whose step on the image is its parameter magnitude. "
            f"Received: {detector!r}"
        )
    return copied
