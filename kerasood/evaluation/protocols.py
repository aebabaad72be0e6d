"""Protocols: images and draws that the metrics are computed on, and their convention."""

import dataclasses
import hashlib

import numpy as np

from kerasood.data import roles
from kerasood.metrics import Ranking
from kerasood.names import choose

METRICS = ("fpr95", "auroc", "aupr_in", "aupr_out")
ROLES = ("far", "near", "other", "synthetic")

_CONVENTION = (
    "ID is the positive class; higher score = more OOD; FPR95 = share of OOD images accepted at "
    "the threshold whose ID recall is nearest to 95 %; AUPR = average precision with ID positive"
)
_CONVENTION_OUT = (
    "OOD is the positive class; higher score = more OOD; FPR95 = share of ID images flagged at the "
    "first threshold that flags at least 95 % of the OOD images; AUPR-in and AUPR-out = areas "
    "under the precision-recall curves of ID and of OOD by trapezoids (chance = the share of ID "
    "and of OOD images, which differs by set)."
)
_OPENOOD_FAR = {"mnist": "far", "svhn": "far", "textures": "far", "places365": "far"}
# Both in the order of OpenOOD's tables; its Tiny-ImageNet is resized, not cropped.
OPENOOD_ROLES = {
    "cifar10": {"cifar100": "near", "tiny_imagenet_resize": "near", **_OPENOOD_FAR},
    "cifar100": {"cifar10": "near", "tiny_imagenet_resize": "near", **_OPENOOD_FAR},
}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One way of evaluating a detector on an OOD set.

    Args:
        name: its key in `PROTOCOLS`.
        description: one sentence for the report.
        convention: what the numbers mean, for the header of every table.
        draws: number of random draws from the OOD scores; 0 uses all of them once.
        positive: `"in"` or `"out"`, the positive class of FPR95, and with it the way of
            OpenOOD (`"out"`) or the paper (`"in"`) of computing it and the AUPRs.
        groups: {ID set: {OOD set: role}} where it prescribes the sets; elsewhere the registry's
            roles hold.
    """

    name: str
    description: str
    convention: str
    draws: int = 0
    positive: str = "in"
    groups: dict = dataclasses.field(default_factory=dict)

    def evaluate(
        self, scores_in, scores_out, set_name: str, seed: int
    ) -> dict[str, dict[str, float | None]]:
        """Metrics of one OOD set.

        A draw takes a fifth as many OOD as ID images, without replacement; which ones depends on
        `seed` and `set_name` only, so every model and detector is judged on the same draws. A set
        too small for a draw is used whole, once; `note` says so.

        Args:
            scores_in: (N,) scores of the ID test images.
            scores_out: (M,) scores of all images of the OOD set.
            set_name: name of the OOD set.
            seed: at least 0.

        Returns:
            For fpr95, auroc, aupr_in and aupr_out: the mean, and the population standard deviation
            over the draws or None where nothing was drawn.

        Raises:
            ValueError: scores empty, not 1-D, NaN or infinite.
        """
        ranking = Ranking(scores_in, scores_out)
        num_in, num_out = len(scores_in), len(scores_out)
        measure = ranking.all_metrics if self.positive == "in" else ranking.all_metrics_out
        size = _draw_size(num_in)
        if not self.draws or num_out < size:
            return {name: {"mean": value, "std": None} for name, value in measure().items()}
        generator = _generator(seed, set_name)
        drawn = [
            measure(generator.choice(num_out, size, replace=False)) for _ in range(self.draws)
        ]
        values = {name: [metrics[name] for metrics in drawn] for name in drawn[0]}
        return {
            name: {"mean": float(np.mean(of_draws)), "std": float(np.std(of_draws))}
            for name, of_draws in values.items()
        }

    def set_names(self, in_name: str) -> tuple[str, ...]:
        """The registered OOD sets that it is for, in the order of its tables."""
        return tuple(self.groups.get(in_name, roles.ood_names(in_name)))

    def role(self, name: str, in_name: str) -> str:
        """Role of an OOD set beside an ID set: one of `ROLES`.

        `"other"` is what the protocol does not prescribe; its means leave it out.
        """
        if in_name not in self.groups:
            return roles.role(name, in_name)
        return self.groups[in_name].get(name, "other")

    def to_json(self) -> dict:
        """Description for the reports."""
        return {
            name: getattr(self, name) for name in ("name", "description", "convention", "positive")
        }

    def note(self, num_in: int, num_out: int) -> str:
        """Remark for the reader about a set of `num_out` images, or an empty string."""
        size = _draw_size(num_in)
        if not self.draws or num_out >= size:
            return ""
        return f"its {num_out:,} images are fewer than a draw's {size:,}: all used, once"


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="full",
            description="All images of every set, once.",
            convention=f"{_CONVENTION} (chance = the share of ID images, which differs by set).",
        ),
        Protocol(
            name="paper",
            description="All ID test images; of every OOD set ten random draws of a fifth as many. "
            "The ± is the standard deviation over the draws: sampling noise of one model, not the "
            "difference between training runs.",
            convention=f"{_CONVENTION} (five ID images to one OOD image: chance 83.3 %).",
            draws=10,
        ),
        Protocol(
            name="openood",
            description="All images of every set, once, by the metrics of OpenOOD v1.5 and, for "
            "CIFAR-10 and CIFAR-100, its grouping: near = the other CIFAR and Tiny-ImageNet, far = "
            "MNIST, SVHN, Textures and Places365. OpenOOD scores its own selections of these sets' "
            "images, here all at hand are used: its published numbers are near, not the same "
            "measurement.",
            convention=_CONVENTION_OUT,
            positive="out",
            groups=OPENOOD_ROLES,
        ),
    )
}


def find(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ValueError: an unknown name, with the nearest known one.
    """
    return PROTOCOLS[choose("protocol", name, PROTOCOLS)]


def _draw_size(num_in: int) -> int:
    return max(1, num_in // 5)


def _generator(seed: int, set_name: str) -> np.random.Generator:
    digest = hashlib.sha256(set_name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
