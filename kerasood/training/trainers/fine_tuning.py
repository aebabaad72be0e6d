"""The fine-tuning objectives, each a Keras model around any network: OBJECTIVES."""

import keras
from keras import ops

from kerasood.errors import InvalidInputError
from kerasood.extractor.build import attached_extractor
from kerasood.training import objectives
from kerasood.training.recipes import SPARSITY_WEIGHTS
from kerasood.training.trainers.cross_entropy import CrossEntropyTraining
from kerasood.training.trainers.outlier_training import EnergyFineTuning, OutlierExposure


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
        ValueError: an unknown site, a negative weight, a network that returns probabilities, or
            one whose features `attached_extractor` cannot find.

    Reference:
        Chen & Li, "Sparsity-based regularization for out-of-distribution detection", 2023,
        eq. 9 and 10.
    """

    def __init__(self, network, weight=None, site="logits", augmentation=None, **kwargs):
        if site not in SPARSITY_WEIGHTS:
            raise InvalidInputError(
                f"Expected site 'logits' or 'features'. Received: site={site!r}"
            )
        weight = SPARSITY_WEIGHTS[site] if weight is None else weight
        if weight < 0:
            raise InvalidInputError(f"Expected weight >= 0. Received: weight={weight}")
        super().__init__(network, augmentation, **kwargs)
        self.weight = self.setting(weight, "weight")
        self.site = site
        self._metrics_by_name["l1"] = keras.metrics.Mean(name="l1")
        self._extractor = attached_extractor(network) if site == "features" else None

    def outputs_of(self, images, training):
        if self._extractor is None:
            return super().outputs_of(images, training)
        return self._extractor(images, training=training)

    def penalty(self, outputs):
        norms = objectives.l1_norm(ops.cast(outputs[self.site], "float32"))
        self._metrics_by_name["l1"].update_state(norms)
        return self.weight * ops.mean(norms)


class LogitNormFineTuning(CrossEntropyTraining):
    """Cross-entropy of normalised logits: their direction is trained and their length is not.

    The network itself keeps its logits; `ce`, `energy` and the validation loss are theirs.

    Args:
        network: keras.Model, images -> logits (N, K).
        temperature: float > 0, tau.
        augmentation: keras layer or None.

    Raises:
        ValueError: a temperature that is not positive, or a network that returns probabilities.

    Reference:
        Wei et al., "Mitigating Neural Network Overconfidence with Logit Normalization", ICML 2022.
    """

    def __init__(self, network, temperature=0.04, augmentation=None, **kwargs):
        if not temperature > 0:
            raise InvalidInputError(
                f"Expected temperature > 0. Received: temperature={temperature}"
            )
        super().__init__(network, augmentation, **kwargs)
        self.temperature = temperature

    def training_loss(self, labels, ce, outputs):
        logits = ops.cast(outputs["logits"], "float32")
        return ops.mean(objectives.logit_norm(labels, logits, self.temperature))


OBJECTIVES = {
    "ce": CrossEntropyTraining,
    "sparsity": SparsityFineTuning,
    "energy": EnergyFineTuning,
    "outlier_exposure": OutlierExposure,
    "logit_norm": LogitNormFineTuning,
}
