"""The paper's objective: a sparsity term on logits or features, no outliers needed."""

import typing

from keras import ops

from kerasood.errors import InvalidInputError, check_not_negative
from kerasood.training import objectives
from kerasood.training.trainers.cross_entropy import CrossEntropyTraining

# The paper's text penalises logits, its released code features; each came with its own weight.
WEIGHTS = {"logits": 0.01, "features": 0.02}


class SparsityFineTuning(CrossEntropyTraining):
    """Cross-entropy plus weight * mean ||activations||_1 on in-distribution images alone.

    Logs the mean norm as `l1`. At the optimum of the logits' penalty the other classes' logits
    rest at 0 and the true one where 1 - p = weight.

    Args:
        network: keras.Model, images -> logits (N, K).
        weight: float >= 0, lambda; by default 0.01 for logits, 0.02 for features.
        site: "logits", as the paper writes, or "features" (N, D), as its released code does.
        augmentation: keras layer or None.

    Raises:
        ValueError: an unknown site, a negative weight, or a network whose logits or features
            cannot be found.

    Reference:
        Chen & Li, "Sparsity-based regularization for out-of-distribution detection", 2023,
        eq. 9 and 10.
    """

    objective = "sparsity"
    formula = "ce + {weight:g} * mean ||{site}||_1"
    of_its_name = ("site",)
    help = {
        "weight": "weight of the norm [.01 for logits, .02 for features]",
        "site": "what the norm is of [logits]; on a WRN-40-2 only features helped, docs/results.md",
    }

    def __init__(
        self,
        network,
        weight: float | None = None,
        site: typing.Literal["logits", "features"] = "logits",
        augmentation=None,
        **kwargs,
    ):
        if site not in WEIGHTS:
            raise InvalidInputError(
                f"Expected site 'logits' or 'features'. Received: site={site!r}"
            )
        weight = WEIGHTS[site] if weight is None else weight
        check_not_negative(weight=weight)
        super().__init__(network, augmentation, **kwargs)
        self.weight = self.setting(weight, "weight")
        self.site = site
        self.log_mean("l1")
        if site == "features":
            self.read_features()

    @classmethod
    def settle(cls, given, dataset=None):
        settled = super().settle(given, dataset)
        return {"weight": WEIGHTS[settled["site"]], **settled}

    def penalty(self, outputs):
        norms = objectives.l1_norm(outputs[self.site])
        self.log_mean("l1", norms)
        return self.weight * ops.mean(norms)
