"""Fine-tuning that sees auxiliary outliers beside the in-distribution images."""

import keras
from keras import ops

from kerasood.errors import InvalidInputError
from kerasood.training import objectives
from kerasood.training.recipes import OUTLIER_WEIGHTS
from kerasood.training.trainers.cross_entropy import CrossEntropyTraining


class OutlierTraining(CrossEntropyTraining):
    """Cross-entropy on in-distribution images plus weight * a penalty that outliers take part in.

    Trains on batches ({"images": (N, H, W, C), "outliers": (M, H, W, C)}, labels (N,)). Both go
    through augmentation and network together: batch norm's statistics are those of all N + M.
    Logs the outliers' mean energy as `energy_out` beside `energy`, that of the images. Validation
    takes plain images, as in the other objectives.

    Args:
        network: keras.Model, images -> logits (N, K).
        weight: float >= 0.
        augmentation: keras layer or None.

    Raises:
        ValueError: a negative weight, a network that returns probabilities, or training batches
            without outliers.
    """

    def __init__(self, network, weight, augmentation=None, **kwargs):
        if weight < 0:
            raise InvalidInputError(f"Expected weight >= 0. Received: weight={weight}")
        super().__init__(network, augmentation, **kwargs)
        self.weight = self.setting(weight, "weight")
        self._metrics_by_name["energy_out"] = keras.metrics.Mean(name="energy_out")

    def call(self, images, training=None):
        if not isinstance(images, dict):
            if training:
                raise InvalidInputError(
                    'Expected batches of {"images", "outliers"}. Received: images'
                )
            return super().call(images, training)
        num_images = ops.shape(images["images"])[0]
        together = ops.concatenate([images["images"], images["outliers"]])
        logits = super().call(together, training)["logits"]
        return {"logits": logits[:num_images], "logits_out": logits[num_images:]}

    def penalty(self, outputs):
        if "logits_out" not in outputs:
            return 0.0
        logits = ops.cast(outputs["logits"], "float32")
        logits_out = ops.cast(outputs["logits_out"], "float32")
        self._metrics_by_name["energy_out"].update_state(objectives.energy(logits_out))
        return self.weight * self.outlier_penalty(logits, logits_out)

    def outlier_penalty(self, logits, logits_out):
        """The penalty before its weight, a scalar, of float32 logits (N, K) and (M, K)."""
        raise NotImplementedError

    def evaluate(self, *arguments, **keywords):
        logs = super().evaluate(*arguments, **keywords)
        if isinstance(logs, dict):
            # Without outliers it has no value; Keras would report 0.
            logs = {name: value for name, value in logs.items() if name != "energy_out"}
        return logs


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

    def __init__(
        self,
        network,
        margin_in,
        margin_out,
        weight=OUTLIER_WEIGHTS["energy"],
        augmentation=None,
        **kwargs,
    ):
        if not margin_in < margin_out:
            raise InvalidInputError(
                "Expected margin_in < margin_out. "
                f"Received: margin_in={margin_in}, margin_out={margin_out}"
            )
        super().__init__(network, weight, augmentation, **kwargs)
        self.margin_in = margin_in
        self.margin_out = margin_out

    def outlier_penalty(self, logits, logits_out):
        hinge_in = objectives.energy_hinge_in(objectives.energy(logits), self.margin_in)
        hinge_out = objectives.energy_hinge_out(objectives.energy(logits_out), self.margin_out)
        return ops.mean(hinge_in) + ops.mean(hinge_out)


class OutlierExposure(OutlierTraining):
    """Outlier Exposure: the classifier shall give outliers the uniform distribution.

    Args:
        network: keras.Model, images -> logits (N, K).
        weight: float >= 0.
        augmentation: keras layer or None.

    Reference:
        Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.
    """

    def __init__(
        self, network, weight=OUTLIER_WEIGHTS["outlier_exposure"], augmentation=None, **kwargs
    ):
        super().__init__(network, weight, augmentation, **kwargs)

    def outlier_penalty(self, logits, logits_out):
        return ops.mean(objectives.uniform_cross_entropy(logits_out))
