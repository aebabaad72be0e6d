"""Detectors: outputs of a model in, one score per image out, higher = more OOD."""

from kerasood.detectors.ash import ASHB, ASHP, ASHS
from kerasood.detectors.base import Detector
from kerasood.detectors.dice import DICE
from kerasood.detectors.energy import Energy
from kerasood.detectors.entropy import Entropy
from kerasood.detectors.fdbd import FDBD
from kerasood.detectors.g_odin import GODIN
from kerasood.detectors.gen import GEN
from kerasood.detectors.grad_norm import GradNorm
from kerasood.detectors.kl_matching import KLMatching
from kerasood.detectors.knn import KNN
from kerasood.detectors.mahalanobis import Mahalanobis
from kerasood.detectors.max_logit import MaxLogit
from kerasood.detectors.mcd import MCD
from kerasood.detectors.msp import MSP
from kerasood.detectors.multi_layer_mahalanobis import MultiLayerMahalanobis
from kerasood.detectors.nci import NCI
from kerasood.detectors.nnguide import NNGuide
from kerasood.detectors.odin import ODIN
from kerasood.detectors.openmax import OpenMax
from kerasood.detectors.react import ReAct
from kerasood.detectors.rectifier import Rectifier
from kerasood.detectors.registry import DETECTORS, register
from kerasood.detectors.reject import Reject
from kerasood.detectors.relative_mahalanobis import RelativeMahalanobis
from kerasood.detectors.residual import Residual
from kerasood.detectors.scale import SCALE
from kerasood.detectors.she import SHE
from kerasood.detectors.vim import ViM
from kerasood.names import choose

__all__ = [
    "ASHB", "ASHP", "ASHS", "DETECTORS", "DICE", "Detector", "Energy", "Entropy", "FDBD", "GEN",
    "GODIN", "GradNorm", "KLMatching", "KNN", "MCD", "MSP", "Mahalanobis", "MaxLogit",
    "MultiLayerMahalanobis", "NCI", "NNGuide", "ODIN", "OpenMax", "ReAct", "Reject",
    "RelativeMahalanobis", "Residual", "SCALE", "SHE", "ViM", "build", "register",
]

# Imports follow each other's needs; a table is read in the order of its names.
for _name in sorted(DETECTORS):
    DETECTORS[_name] = DETECTORS.pop(_name)


def build(name: str) -> Detector:
    """A new detector by name, with its default parameters.

    Args:
        name: str, a name of `DETECTORS`, or rectifiers and a detector joined by +, such as
            "react+msp" or "react+dice+energy": the first one sees the features first.

    Raises:
        ValueError: there is no such detector, or what stands before a + is no rectifier.
    """
    *rectifiers, scorer = name.split("+")
    detector = DETECTORS[choose("detector", scorer, DETECTORS)]()
    for rectifier in reversed(rectifiers):
        kinds = [other for other, kind in DETECTORS.items() if issubclass(kind, Rectifier)]
        detector = DETECTORS[choose("rectifier before a +", rectifier, kinds)](detector=detector)
    return detector


def __dir__():
    return __all__
