"""Background resampling: a small, hard subset of the outliers, by weights that are learned."""

import keras
import numpy as np
from keras import ops

from kerasood.errors import check_fraction, check_positive
from kerasood.training import objectives
from kerasood.training.trainers.outlier_training import OutlierTraining

# Sets the draws of the outliers apart from other random numbers of the same seed.
RESAMPLING_STREAM = 0x6267


class BackgroundResampling(OutlierTraining):
    """Outlier Exposure on outliers whose weights are learned against the network.

    The penalty is weight * mean v_j * KL(uniform, softmax_j) over the outliers of a step, with
    v_j = mean(sqrt(w)) / mean(w) * sqrt(w_j), w = softplus of one parameter for each outlier. The
    network lowers it and the parameters raise it, by gradient ascent with momentum 0.9; an epoch
    draws its outliers with probabilities proportional to sqrt(w). After `weighing_epochs` epochs
    the weights stay as they are: a share `subset` of the outliers, drawn by them once, is all that
    the rest of the training sees, unweighted.

    Args:
        network: keras.Model, images -> logits (N, K).
        weight: float >= 0.
        weight_rate: float > 0, learning rate of the outliers' parameters.
        weighing_epochs: int >= 0.
        subset: float in (0, 1].
        augmentation: keras layer or None.

    Reference:
        Li & Vasconcelos, "Background Data Resampling for Outlier-Aware Classification", CVPR 2020;
        rates and weighting as in its released code, which learns the weights and trains on the
        subset in two runs of equal length.
    """

    objective = "resampling"
    formula = (
        "ce + {weight:g} * mean v KL(uniform, softmax_out), v learned for {weighing_epochs} epochs,"
        " then a share {subset:g} of the outliers"
    )
    scored_by = "msp"
    needs_rows = True
    outliers_per_image = 1
    help = {
        "weight": "weight of the outliers' divergence from uniform [.5]",
        "weight_rate": "learning rate of the outliers' weights [100]",
        "weighing_epochs": "epochs in which the weights are learned [5]",
        "subset": "share of the outliers that is trained on after these [.1]",
    }

    def __init__(
        self,
        network,
        weight: float = 0.5,
        weight_rate: float = 100.0,
        weighing_epochs: int = 5,
        subset: float = 0.1,
        augmentation=None,
        **kwargs,
    ):
        check_positive(weight_rate=weight_rate, subset=subset)
        check_fraction(subset=subset)
        super().__init__(network, weight, augmentation, **kwargs)
        self.weight_rate = weight_rate
        self.weighing_epochs = weighing_epochs
        self.subset = subset
        self.is_weighing = self.setting(1.0, "is_weighing")

    def begin_training(self, batches):
        count = len(batches.outliers)
        self._seed = batches.seed
        self.raw_weights = self.add_weight(
            (count,), "zeros", autocast=False, name="outlier_weights"
        )

    def begin_epoch(self, epoch, outliers):
        is_weighing = epoch < self.weighing_epochs
        self.is_weighing.assign(float(is_weighing))
        raw = np.asarray(ops.convert_to_numpy(self.raw_weights), "float64")
        roots = np.sqrt(np.logaddexp(0, raw))
        # The subset is one draw: the same in all epochs that are left.
        draw = epoch if is_weighing else self.weighing_epochs
        generator = np.random.default_rng([self._seed, RESAMPLING_STREAM, draw])
        count = len(outliers) if is_weighing else max(1, round(self.subset * len(outliers)))
        rows = generator.choice(len(outliers), count, is_weighing, roots / roots.sum())
        return rows.astype("int32")

    def own_optimizers(self, optimizer):
        return [([self.raw_weights], keras.optimizers.SGD(self.weight_rate, momentum=0.9))]

    def outlier_loss(self, labels, ce, outputs):
        # Gradients of the weights are turned round: what the network lowers, they raise.
        raw = 2.0 * ops.stop_gradient(self.raw_weights.value) - self.raw_weights.value
        roots = ops.sqrt(ops.softplus(raw))
        scale = ops.mean(roots) / ops.mean(ops.square(roots))
        weights = scale * ops.take(roots, outputs["rows_out"])
        weights = ops.where(self.is_weighing > 0, weights, ops.ones_like(weights))
        num_classes = outputs["logits"].shape[-1]
        uniform = objectives.uniform_cross_entropy(outputs["logits_out"])
        divergence = uniform - float(np.log(num_classes))
        return ops.mean(ce) + self.weight * ops.mean(weights * divergence)
