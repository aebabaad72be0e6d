"""Tolerances of answers, and the units that they are measured in."""

import typing

import numpy as np


class Tolerance(typing.NamedTuple):
    """The largest differences, in units of `unit_of`: of the score, and of every other output."""

    score: float
    other: float

    def of(self, name):
        return self.score if name == "score" else self.other


EXACT = Tolerance(score=1e-3, other=1e-4)
# Runtimes and processors round integers alike but for a last bit here and there.
QUANTIZED = Tolerance(score=5e-2, other=1e-2)


def unit_of(name, outputs, limits=None, spread=None):
    """The unit of an output's differences, for each of its values.

    Logits and energies are nats, probabilities shares: max(|value|, 1). A score may be shifted and
    scaled and decides alike, so that its own size says nothing: its unit is the spread of the
    accepted images' scores, and farther than that from the threshold the distance to it. Where a
    500th of |score| is more, float32 is the limit: 1e-3 of that are seventeen roundings.

    Args:
        name: str, an output.
        outputs: dict of arrays, the right answers, with `name`, "score" and "is_ood".
        limits: (N,) array, each image's threshold, or None to leave the distance out.
        spread: float, or None for `score_spread(outputs)`.

    Returns:
        float64 array like the output.
    """
    size = np.abs(outputs[name].astype("float64"))
    if name != "score":
        return np.maximum(size, 1)
    unit = np.maximum(size / 500, score_spread(outputs) if spread is None else spread)
    if limits is None:
        return unit
    return np.maximum(unit, np.abs(outputs["score"] - np.float64(limits)))


def score_spread(outputs):
    """The standard deviation of the accepted images' scores.

    Those of OOD images lie far away and would widen it until an error passes that matters. It is
    that of all images where fewer than two are accepted, and 1 where their scores are equal.

    Args:
        outputs: {"score": (N,) floats, "is_ood": (N,) bool}.

    Returns:
        float > 0.
    """
    accepted = outputs["score"][~outputs["is_ood"]]
    scores = accepted if len(accepted) > 1 else outputs["score"]
    return float(np.std(scores, dtype="float64")) if np.ptp(scores) else 1.0
