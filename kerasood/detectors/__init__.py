"""Detectors: outputs of a model in, one score per image out, higher = more OOD."""

from kerasood.detectors.base import Detector
from kerasood.detectors.energy import Energy
from kerasood.detectors.fdbd import FDBD
from kerasood.detectors.knn import KNN
from kerasood.detectors.mahalanobis import Mahalanobis
from kerasood.detectors.max_logit import MaxLogit
from kerasood.detectors.msp import MSP
from kerasood.detectors.multi_layer_mahalanobis import MultiLayerMahalanobis
from kerasood.detectors.nci import NCI
from kerasood.detectors.nnguide import NNGuide
from kerasood.detectors.odin import ODIN
from kerasood.detectors.relative_mahalanobis import RelativeMahalanobis
from kerasood.detectors.residual import Residual
from kerasood.detectors.she import SHE
from kerasood.detectors.vim import ViM

DETECTORS = {
    "msp": MSP,
    "max_logit": MaxLogit,
    "energy": Energy,
    "odin": ODIN,
    "mahalanobis": Mahalanobis,
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

__all__ = [
    "DETECTORS",
    "Detector",
    "Energy",
    "FDBD",
    "KNN",
    "MSP",
    "Mahalanobis",
    "MaxLogit",
    "MultiLayerMahalanobis",
    "NCI",
    "NNGuide",
    "ODIN",
    "RelativeMahalanobis",
    "Residual",
    "SHE",
    "ViM",
]
