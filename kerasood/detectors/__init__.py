"""Detectors: outputs of a model in, one score per image out, higher = more OOD."""

from kerasood.detectors.base import Detector
from kerasood.detectors.energy import Energy
from kerasood.detectors.mahalanobis import Mahalanobis
from kerasood.detectors.max_logit import MaxLogit
from kerasood.detectors.msp import MSP
from kerasood.detectors.odin import ODIN

DETECTORS = {
    "msp": MSP,
    "max_logit": MaxLogit,
    "energy": Energy,
    "odin": ODIN,
    "mahalanobis": Mahalanobis,
}

__all__ = ["DETECTORS", "Detector", "Energy", "MSP", "Mahalanobis", "MaxLogit", "ODIN"]
