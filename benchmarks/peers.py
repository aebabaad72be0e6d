"""The detectors that pytorch-ood has too: the same outputs in, both libraries' scores out.

pytorch-ood is no dependency: `pip install '.[peers]'` brings it and PyTorch.
"""

import dataclasses
import importlib.machinery
import sys
import types
from collections.abc import Callable

from kerasood import detectors

HOW_TO_GET_IT = "pip install '.[peers]' (pytorch-ood and PyTorch)"
# Dimension of ViM's principal space; pytorch-ood has no default.
PRINCIPAL = 64
MODULE = "pytorch_ood"


@dataclasses.dataclass(frozen=True)
class Pair:
    """A detector of ours and its peer, with the same parameters.

    Attributes:
        ours: function without arguments: a new detector.
        theirs: function of (pytorch_ood.detector, torch.nn.Linear head): a new detector.
        reads: what the peer's methods take: "logits", "features", "maps" for features of shape
            (N, D, 1, 1), "layers" for lists of features, or "inputs" for a whole network, which is
            the head alone here.
    """

    ours: Callable
    theirs: Callable
    reads: str


def _pooled(head):
    return lambda maps: head(maps.flatten(1))


PAIRS = {
    "msp": Pair(detectors.MSP, lambda peer, head: peer.MaxSoftmax(None), "logits"),
    "max_logit": Pair(detectors.MaxLogit, lambda peer, head: peer.MaxLogit(None), "logits"),
    "energy": Pair(detectors.Energy, lambda peer, head: peer.EnergyBased(None), "logits"),
    "entropy": Pair(detectors.Entropy, lambda peer, head: peer.Entropy(None), "logits"),
    "gen": Pair(detectors.GEN, lambda peer, head: peer.GEN(None), "logits"),
    "kl_matching": Pair(detectors.KLMatching, lambda peer, head: peer.KLMatching(None), "logits"),
    "openmax": Pair(
        lambda: detectors.OpenMax(tail_size=20, num_revised=3),
        lambda peer, head: peer.OpenMax(None, tailsize=20, alpha=3),
        "logits",
    ),
    "grad_norm": Pair(
        detectors.GradNorm,
        lambda peer, head: peer.GradNorm(head, param_filter=lambda name: name == "weight"),
        "inputs",
    ),
    "react": Pair(
        lambda: detectors.ReAct(90),
        lambda peer, head: peer.ReAct(None, _pooled(head), percentile=0.9),
        "maps",
    ),
    "dice": Pair(
        lambda: detectors.DICE(0.9),
        lambda peer, head: peer.DICE(None, head.weight, head.bias, p=0.9),
        "features",
    ),
    "ash_p": Pair(
        lambda: detectors.ASHP(65),
        lambda peer, head: peer.ASH(None, _pooled(head), "ash-p", 0.65),
        "maps",
    ),
    "ash_b": Pair(
        lambda: detectors.ASHB(65),
        lambda peer, head: peer.ASH(None, _pooled(head), "ash-b", 0.65),
        "maps",
    ),
    "ash_s": Pair(
        lambda: detectors.ASHS(65),
        lambda peer, head: peer.ASH(None, _pooled(head), "ash-s", 0.65),
        "maps",
    ),
    "scale": Pair(
        lambda: detectors.SCALE(85),
        lambda peer, head: peer.SCALE(None, _pooled(head), 0.85),
        "maps",
    ),
    "mahalanobis": Pair(
        detectors.Mahalanobis, lambda peer, head: peer.Mahalanobis(None), "features"
    ),
    "relative_mahalanobis": Pair(
        detectors.RelativeMahalanobis, lambda peer, head: peer.RMD(None), "features"
    ),
    "multi_layer_mahalanobis": Pair(
        detectors.MultiLayerMahalanobis,
        lambda peer, head: peer.MultiMahalanobis([None, None]),
        "layers",
    ),
    "knn": Pair(lambda: detectors.KNN(k=50), lambda peer, head: peer.KNN(None, k=50), "features"),
    "vim": Pair(
        lambda: detectors.ViM(PRINCIPAL),
        lambda peer, head: peer.ViM(None, PRINCIPAL, head.weight, head.bias),
        "features",
    ),
    "she": Pair(detectors.SHE, lambda peer, head: peer.SHE(None, head), "features"),
    "fdbd": Pair(detectors.FDBD, lambda peer, head: peer.fDBD(None, head), "features"),
    "nnguide": Pair(
        lambda: detectors.NNGuide(k=10), lambda peer, head: peer.NNGuide(None, head, k=10),
        "features",
    ),
    "nci": Pair(
        lambda: detectors.NCI(0.001), lambda peer, head: peer.NCI(None, head, 0.001), "features"
    ),
}


def pytorch_ood_detectors():
    """The module pytorch_ood.detector.

    pytorch-ood's own package imports torchvision for data sets and networks that play no part
    here, and torchvision must match PyTorch to the version. Where it does not, the package stands
    in sys.modules without its contents, and its detectors are imported below it as they are.

    Raises:
        ImportError: pytorch-ood or PyTorch is not installed.
    """
    if MODULE not in sys.modules:
        found = importlib.machinery.PathFinder.find_spec(MODULE)
        if found is None:
            raise ImportError(f"pytorch-ood is not installed: {HOW_TO_GET_IT}")
        package = types.ModuleType(MODULE)
        package.__path__ = list(found.submodule_search_locations)
        sys.modules[MODULE] = package
    return importlib.import_module(f"{MODULE}.detector")


class Theirs:
    """A peer's detector behind our two methods, on NumPy arrays.

    Args:
        pair: Pair.
        peer: the module pytorch_ood.detector.
        classifier: Classifier.
    """

    def __init__(self, pair, peer, classifier):
        import torch

        self._torch = torch
        self._reads = pair.reads
        head = torch.nn.Linear(*classifier.kernel.shape)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(classifier.kernel.T.copy()))
            head.bias.copy_(torch.from_numpy(classifier.bias))
        self.detector = pair.theirs(peer, head.requires_grad_(False))

    @property
    def learns(self):
        """Whether it must be fitted."""
        return self.detector.requires_fit

    def fit(self, outputs, labels):
        method = {
            "logits": "fit_logits", "maps": "fit_feature_maps", "layers": "fit_structured",
            "features": "fit_features",
        }.get(self._reads)
        if self.learns:
            getattr(self.detector, method)(self._inputs(outputs), self._torch.from_numpy(labels))
        return self

    def score(self, outputs):
        method = {
            "logits": "predict_logits", "maps": "predict_feature_maps", "inputs": "predict",
            "layers": "predict_structured", "features": "predict_features",
        }[self._reads]
        return getattr(self.detector, method)(self._inputs(outputs)).numpy()

    def _inputs(self, outputs):
        name = "logits" if self._reads == "logits" else "features"
        tensor = self._torch.from_numpy(outputs[name])
        if self._reads == "layers":
            return [tensor, self._torch.from_numpy(outputs["hidden/early"])]
        return tensor[:, :, None, None] if self._reads == "maps" else tensor
