"""Detectors: outputs of a model in, one score per image out, higher = more OOD."""

from kerasood.detectors.base import Detector
from kerasood.detectors.energy import Energy
from kerasood.detectors.max_logit import MaxLogit
from kerasood.detectors.msp import MSP

DETECTORS = {"msp": MSP, "max_logit": MaxLogit, "energy": Energy}

__all__ = ["DETECTORS", "Detector", "Energy", "MSP", "MaxLogit"]
