"""Reject classes beside the classes: a network of K + R logits, K of which name classes."""

import keras
from keras import ops

from kerasood.training import objectives
from kerasood.training.trainers.heads import second_head, with_outputs
from kerasood.training.trainers.outlier_training import OutlierTraining


class RejectTraining(OutlierTraining):
    """Cross-entropy over classes and reject classes; base of what trains outliers into the latter.

    The network has the logits of the reject classes as the output "reject_logits" (N, R) beside
    "logits" (N, K), so that its classes stay K. Score by the odds of the reject classes, the
    detector `reject`. A subclass says in `targets_out` which reject class an outlier belongs to.
    """

    scored_by = "reject"

    @classmethod
    def network_for(cls, network, parameters):
        def head(features, logits):
            count = parameters.get("reject_classes", 1)
            return {"reject_logits": second_head(features, count, "reject_logits")}

        return with_outputs(network, "reject_logits", head)

    def outlier_loss(self, labels, ce, outputs):
        joint, joint_out = (joint_logits(outputs, end) for end in ("", "_out"))
        targets = self.targets_out(outputs) + outputs["logits"].shape[-1]
        loss_out = ops.mean(objectives.cross_entropy(targets, joint_out))
        return ops.mean(objectives.cross_entropy(labels, joint)) + self.weight * loss_out

    def targets_out(self, outputs):
        """The reject class of each outlier, (M,) int32 in [0, R)."""
        return ops.zeros(ops.shape(outputs["logits_out"])[:1], "int32")


class SelfSupervisedReject(RejectTraining):
    """Several reject classes, among which unlabelled images find their own places.

    An unlabelled image that the network already rejects is trained towards the reject class that
    it prefers; one that it takes for a class, towards a random one.

    Args:
        network: keras.Model of `network_for`, with the outputs "logits" and "reject_logits".
        reject_classes: int > 0, R.
        weight: float >= 0, lambda.
        augmentation: keras layer or None.

    Reference:
        Mohseni et al., "Self-Supervised Learning for Generalizable Out-of-Distribution Detection",
        AAAI 2020, eq. 1 and algorithm 1.
    """

    objective = "reject_classes"
    formula = "ce + {weight:g} * ce of outliers to {reject_classes} reject classes, pseudo-labels"
    help = {
        "reject_classes": "reject classes beside the classes [5]",
        "weight": "weight of the outliers' cross-entropy [5]",
    }

    def __init__(
        self, network, reject_classes: int = 5, weight: float = 5.0, augmentation=None, **kwargs
    ):
        super().__init__(network, weight, augmentation, **kwargs)
        self.reject_classes = reject_classes
        self.seed_generator = keras.random.SeedGenerator()

    def targets_out(self, outputs):
        logits, rejects = outputs["logits_out"], outputs["reject_logits_out"]
        drawn = keras.random.randint(
            ops.shape(logits)[:1], 0, self.reject_classes, seed=self.seed_generator
        )
        is_rejected = ops.max(rejects, axis=-1) > ops.max(logits, axis=-1)
        preferred = ops.cast(ops.argmax(rejects, axis=-1), "int32")
        return ops.where(is_rejected, preferred, drawn)


def joint_logits(outputs, end=""):
    """Logits of classes and reject classes, (N, K + R); `end` is "_out" for those of outliers."""
    return ops.concatenate([outputs[f"logits{end}"], outputs[f"reject_logits{end}"]], axis=-1)
