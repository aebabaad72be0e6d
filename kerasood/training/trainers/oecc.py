"""OECC: outlier exposure with the confidence on in-distribution images held where it belongs."""

import numpy as np
from keras import ops

from kerasood.errors import check_fraction, check_not_negative
from kerasood.training import objectives
from kerasood.training.trainers.cross_entropy import CrossEntropyTraining
from kerasood.training.trainers.outlier_training import OutlierTraining


class ConfidenceControl(OutlierTraining):
    """Outliers pushed to the uniform distribution, images to the confidence they deserve.

    The penalty is confidence_weight * N * (accuracy - mean confidence of the N images)^2 plus
    weight * the sum over the outliers of the L1 distance of their softmax from the uniform
    distribution. Both are sums over the batch, for which the weights were published: of 128 images
    and 256 outliers.

    Args:
        network: keras.Model, images -> logits (N, K).
        accuracy: float in [0, 1], of the base on its training images; A_tr.
        weight: float >= 0, lambda_2.
        confidence_weight: float >= 0, lambda_1.
        augmentation: keras layer or None.

    Raises:
        ValueError: as in `OutlierTraining`, or no accuracy.

    Reference:
        Papadopoulos et al., "Outlier exposure with confidence control for out-of-distribution
        detection", Neurocomputing 2021, eq. 4; the sums as in its released code.
    """

    objective = "oecc"
    formula = (
        "ce + {confidence_weight:g} * N * ({accuracy:.4f} - mean confidence)^2 "
        "+ {weight:g} * sum |softmax_out - 1/K|"
    )
    scored_by = "msp"
    help = {
        "accuracy": "training accuracy that the mean confidence is held at [the base's]",
        "weight": "weight of the outliers' distance from uniform [.05]",
        "confidence_weight": "weight of the confidence's distance from the accuracy [.07]",
    }

    def __init__(
        self,
        network,
        accuracy: float | None = None,
        weight: float = 0.05,
        confidence_weight: float = 0.07,
        augmentation=None,
        **kwargs,
    ):
        check_not_negative(confidence_weight=confidence_weight)
        check_fraction(accuracy=accuracy)
        super().__init__(network, weight, augmentation, **kwargs)
        self.accuracy = accuracy
        self.confidence_weight = self.setting(confidence_weight, "confidence_weight")

    @classmethod
    def derive(cls, parameters, network, images, labels, outliers):
        if "accuracy" in parameters:
            return {}
        logits = CrossEntropyTraining(network).outputs_between_epochs(images)["logits"]
        return {"accuracy": round(float(np.mean(logits.argmax(axis=1) == labels)), 4)}

    def outlier_loss(self, labels, ce, outputs):
        count = ops.sum(ops.ones_like(ce))
        mean = ops.mean(objectives.confidence(outputs["logits"]))
        distance = ops.sum(objectives.uniform_distance(outputs["logits_out"]))
        held = self.confidence_weight * count * ops.square(self.accuracy - mean)
        return ops.mean(ce) + held + self.weight * distance
