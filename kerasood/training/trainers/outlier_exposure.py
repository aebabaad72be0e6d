"""Outlier Exposure: uniform answers for outliers."""

from keras import ops

from kerasood.training import objectives
from kerasood.training.trainers.outlier_training import OutlierTraining


class OutlierExposure(OutlierTraining):
    """Outlier Exposure: the classifier shall give outliers the uniform distribution.

    Args:
        network: keras.Model, images -> logits (N, K).
        weight: float >= 0.
        augmentation: keras layer or None.

    Reference:
        Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.
    """

    objective = "outlier_exposure"
    formula = "ce + {weight:g} * mean ce to uniform"
    help = {"weight": "weight of the outliers' cross-entropy to uniform [.5]"}

    def __init__(self, network, weight: float = 0.5, augmentation=None, **kwargs):
        super().__init__(network, weight, augmentation, **kwargs)

    def outlier_penalty(self, logits, logits_out):
        return ops.mean(objectives.uniform_cross_entropy(logits_out))
