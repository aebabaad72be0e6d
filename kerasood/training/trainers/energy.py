"""Energy-bounded training, and margins from the energies that its base already gives."""


import numpy as np
from keras import ops

from kerasood.errors import InvalidInputError
from kerasood.training import objectives
from kerasood.training.trainers.cross_entropy import CrossEntropyTraining
from kerasood.training.trainers.outlier_training import OutlierTraining

# (margin_in, margin_out) in nats, as the energy-score code chose them for its WRN-40-2.
REFERENCE_MARGINS = {"cifar10": (-23.0, -5.0), "cifar100": (-27.0, -5.0)}
QUANTILE = 0.05
NUM_IMAGES = 5000
BATCH_SIZE = 250


class EnergyFineTuning(OutlierTraining):
    """Energy-bounded training: images pushed below one energy and outliers above another.

    The penalty is the mean of max(0, E_in - margin_in)^2 over the images plus the mean of
    max(0, margin_out - E_out)^2 over the outliers.

    Args:
        network: keras.Model, images -> logits (N, K).
        margin_in: float, nats.
        margin_out: float, nats, above `margin_in`.
        weight: float >= 0.
        augmentation: keras layer or None.

    Raises:
        ValueError: as in `OutlierTraining`, or margins that are not in order.

    Reference:
        Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020; eq. 7 and 8 in
        Chen & Li.
    """

    objective = "energy"
    formula = (
        "ce + {weight:g} * (mean max(0, E_in - {margin_in:g})^2 "
        "+ mean max(0, {margin_out:g} - E_out)^2)"
    )
    help = {
        "weight": "weight of the squared hinges [.1]",
        "margin_in": "energy below which images are pushed, nats [derived from the base]",
        "margin_out": "energy above which outliers are pushed, nats [derived from the base]",
        "margins": "the base's quantiles, or for CIFAR the reference's [auto]",
    }
    shorthands = {"margins": ("auto", "reference")}

    def __init__(
        self,
        network,
        margin_in: float | None = None,
        margin_out: float | None = None,
        weight: float = 0.1,
        augmentation=None,
        **kwargs,
    ):
        if margin_in is None or margin_out is None:
            raise InvalidInputError(
                "Expected margins, as `derived_margins` or `fine_tune` takes them from the "
                f"network. Received: margin_in={margin_in}, margin_out={margin_out}"
            )
        _check_order(margin_in, margin_out)
        super().__init__(network, weight, augmentation, **kwargs)
        self.margin_in = margin_in
        self.margin_out = margin_out

    @classmethod
    def settle(cls, given, dataset=None):
        settled = super().settle(given, dataset)
        margins = settled.pop("margins", None)
        if margins == "reference":
            if dataset not in REFERENCE_MARGINS:
                raise InvalidInputError(
                    f"Expected --margins=reference for {' or '.join(REFERENCE_MARGINS)}, which the "
                    f"reference names margins for. Received: --dataset={dataset}"
                )
            named = dict(zip(("margin_in", "margin_out"), REFERENCE_MARGINS[dataset], strict=True))
        count = len({"margin_in", "margin_out"} & set(settled))
        if count == 1 or count and margins:
            raise InvalidInputError(
                "Expected --margins, or both --margin_in and --margin_out. Received: "
                f"margins={margins}, margin_in={settled.get('margin_in')}, "
                f"margin_out={settled.get('margin_out')}"
            )
        settled |= named if margins == "reference" else {}
        if "margin_in" in settled:
            _check_order(settled["margin_in"], settled["margin_out"])
        return settled

    @classmethod
    def derive(cls, parameters, network, images, labels, outliers):
        if "margin_in" in parameters:
            return {}
        margins = derived_margins(network, images, outliers)
        return dict(zip(("margin_in", "margin_out"), margins, strict=True))

    def outlier_penalty(self, logits, logits_out):
        hinge_in = objectives.energy_hinge_in(objectives.energy(logits), self.margin_in)
        hinge_out = objectives.energy_hinge_out(objectives.energy(logits_out), self.margin_out)
        return ops.mean(hinge_in) + ops.mean(hinge_out)


def _check_order(margin_in, margin_out):
    if not margin_in < margin_out:
        raise InvalidInputError(
            "Expected margin_in < margin_out. "
            f"Received: margin_in={margin_in}, margin_out={margin_out}"
        )


def derived_margins(network, images, outliers):
    """Margins that most images are on the wrong side of, and some are already beyond.

    margin_in is the 5 % quantile of the training images' energies: the loss pulls all but the
    most certain twentieth down to where those are. margin_out is the 95 % quantile of the
    outliers' energies: all but the least certain twentieth are pushed up to where those are. Both
    ends are within the network's present range, whatever its number of classes and training.

    Args:
        network: keras.Model, images -> logits; the base, as in inference.
        images: (N, H, W, 3) uint8, in-distribution training images, not augmented.
        outliers: (M, H, W, 3) uint8.

    Returns:
        (margin_in, margin_out): float, nats, rounded to 0.01; from a fixed random sample of at
        most NUM_IMAGES of each.

    Raises:
        ValueError: the margins are not in order, because the base finds the outliers more
            in-distribution than its training images.
    """
    margin_in = np.quantile(_energies(network, images), QUANTILE)
    margin_out = np.quantile(_energies(network, outliers), 1 - QUANTILE)
    if not margin_in < margin_out:
        raise InvalidInputError(
            "Expected a base with lower energies on its training images than on outliers, to "
            "derive margins from; or give --margin_in and --margin_out. Received: "
            f"margin_in={margin_in:.2f}, margin_out={margin_out:.2f}"
        )
    return round(float(margin_in), 2), round(float(margin_out), 2)


def _energies(network, images):
    if len(images) > NUM_IMAGES:
        rows = np.random.default_rng(0).choice(len(images), NUM_IMAGES, replace=False)
        images = images[np.sort(rows)]
    outputs = CrossEntropyTraining(network).predict(images, batch_size=BATCH_SIZE, verbose=0)
    return np.asarray(objectives.energy(np.asarray(outputs["logits"], "float32")))
