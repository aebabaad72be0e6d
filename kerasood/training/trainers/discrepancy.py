"""Maximum classifier discrepancy: two heads that agree on classes and differ elsewhere."""

from keras import ops

from kerasood.errors import check_not_negative
from kerasood.extractor.build import head_of
from kerasood.training import objectives
from kerasood.training.trainers.heads import second_head, with_outputs
from kerasood.training.trainers.outlier_training import OutlierTraining


class ClassifierDiscrepancy(OutlierTraining):
    """Two heads trained on the labels, and driven apart on unlabelled images, step by step.

    Steps alternate: A trains both heads and what is below by cross-entropy; B adds
    weight * max(0, margin - mean(H(p_1) - H(p_2))), H the entropy of a head's softmax, over the
    unlabelled images: as many outliers as images, and the images themselves without their labels.
    Score by the L1 distance of the two softmaxes, the detector `mcd`. The second head starts as a
    copy of the network's own, as trained as that; step B, which is not symmetric, parts them.

    Args:
        network: keras.Model of `network_for`, with the outputs "logits" and "logits_2".
        margin: float >= 0, m, nats.
        weight: float >= 0.
        augmentation: keras layer or None.

    Reference:
        Yu & Aizawa, "Unsupervised Out-of-Distribution Detection by Maximum Classifier Discrepancy",
        ICCV 2019, eq. 1-4; a fine-tune of ten epochs there.
    """

    objective = "mcd"
    formula = (
        "ce_1 + ce_2, in every second step "
        "+ {weight:g} * max(0, {margin:g} - mean(H_1 - H_2) of unlabelled images)"
    )
    scored_by = "mcd"
    outliers_per_image = 1
    help = {
        "margin": "difference of the heads' entropies that is enough, nats [1.2]",
        "weight": "weight of the discrepancy in step B [1]",
    }

    def __init__(
        self, network, margin: float = 1.2, weight: float = 1.0, augmentation=None, **kwargs
    ):
        check_not_negative(margin=margin)
        super().__init__(network, weight, augmentation, **kwargs)
        self.margin = margin
        self.is_step_b = self.setting(0.0, "is_step_b")
        self.log_mean("discrepancy", in_validation=False)

    @classmethod
    def network_for(cls, network, parameters):
        def head(features, logits):
            return {"logits_2": second_head(features, logits.shape[-1], "logits_2")}

        two_headed = with_outputs(network, "logits_2", head)
        if two_headed is not network:
            two_headed.get_layer("logits_2").set_weights(list(head_of(two_headed)))
        return two_headed

    def outlier_loss(self, labels, ce, outputs):
        both = ops.mean(ce) + ops.mean(objectives.cross_entropy(labels, outputs["logits_2"]))
        first, second = (
            objectives.entropy(ops.concatenate([outputs[name], outputs[f"{name}_out"]]))
            for name in ("logits", "logits_2")
        )
        self.log_mean("discrepancy", first - second)
        apart = ops.relu(self.margin - ops.mean(first - second))
        loss = both + self.is_step_b * self.weight * apart
        self.is_step_b.assign(1.0 - self.is_step_b)
        return loss
