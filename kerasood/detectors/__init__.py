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
from kerasood.detectors.relative_mahalanobis import RelativeMahalanobis
from kerasood.detectors.residual import Residual
from kerasood.detectors.scale import SCALE
from kerasood.detectors.she import SHE
from kerasood.detectors.vim import ViM
from kerasood.errors import InvalidInputError

DETECTORS = {
    "msp": MSP,
    "max_logit": MaxLogit,
    "energy": Energy,
    "odin": ODIN,
    "mahalanobis": Mahalanobis,
    "entropy": Entropy,
    "gen": GEN,
    "kl_matching": KLMatching,
    "grad_norm": GradNorm,
    "openmax": OpenMax,
    "react": ReAct,
    "dice": DICE,
    "ash_p": ASHP,
    "ash_b": ASHB,
    "ash_s": ASHS,
    "scale": SCALE,
    "g_odin": GODIN,
    "mcd": MCD,
    "relative_mahalanobis": RelativeMahalanobis,
    "multi_layer_mahalanobis": MultiLayerMahalanobis,
    "knn": KNN,
    "residual": Residual,
    "vim": ViM,
    "she": SHE,
    "fdbd": FDBD,
    "nnguide": NNGuide,
    "nci": NCI,
}


def build(name):
    """A new detector by name, with its default parameters.

    Args:
        name: str, a name of `DETECTORS`, or rectifiers and a detector joined by +, such as
            "react+msp" or "react+dice+energy": the first one sees the features first.

    Raises:
        ValueError: there is no such detector, or what stands before a + is no rectifier.
    """
    *rectifiers, scorer = name.split("+")
    unknown = [part for part in (*rectifiers, scorer) if part not in DETECTORS]
    if unknown:
        raise InvalidInputError(
            f"Expected detectors out of {', '.join(DETECTORS)}. Received: {', '.join(unknown)!r}"
        )
    detector = DETECTORS[scorer]()
    for rectifier in reversed(rectifiers):
        if not issubclass(DETECTORS[rectifier], Rectifier):
            names = (name for name, kind in DETECTORS.items() if issubclass(kind, Rectifier))
            raise InvalidInputError(
                f"Expected a rectifier before a +: {', '.join(names)}. Received: {rectifier!r}"
            )
        detector = DETECTORS[rectifier](detector=detector)
    return detector


__all__ = [
    "ASHB",
    "ASHP",
    "ASHS",
    "DETECTORS",
    "DICE",
    "Detector",
    "Energy",
    "Entropy",
    "FDBD",
    "GEN",
    "GODIN",
    "GradNorm",
    "KLMatching",
    "KNN",
    "MCD",
    "MSP",
    "Mahalanobis",
    "MaxLogit",
    "MultiLayerMahalanobis",
    "NCI",
    "NNGuide",
    "ODIN",
    "OpenMax",
    "ReAct",
    "RelativeMahalanobis",
    "Residual",
    "SCALE",
    "SHE",
    "ViM",
    "build",
]


def __dir__():
    return __all__
