"""UDG: unlabelled images, some in-distribution, grouped and filtered with the labelled ones."""

import keras
import numpy as np
from keras import ops
from sklearn.cluster import MiniBatchKMeans

from kerasood.errors import InvalidInputError, check_fraction, check_not_negative
from kerasood.training import objectives
from kerasood.training.trainers.outlier_training import OutlierTraining

OUTLIER = -1
EMPHASIS = 2.0


class UnsupervisedDualGrouping(OutlierTraining):
    """Training on unlabelled images that hold in-distribution ones, which are found by grouping.

    Before every epoch the features of all images are grouped by k-means. A group that one class
    fills by more than `purity` gives that class to its unlabelled images (in-distribution
    filtering); the others count as outliers, doubly in a group that they fill by more than
    `purity`. The loss is the cross-entropy of all images with a class, plus weight * the
    cross-entropy to uniform of the outliers, plus group_weight * the cross-entropy of a second
    head, newly initialised in every epoch, that tells the group of every image, groups weighted by
    1 / sqrt(size). The second head is the trainer's: the network keeps its outputs.

    Args:
        network: keras.Model, images -> logits (N, K), whose features can be found.
        weight: float >= 0, of the outliers.
        groups: int > 1, at most as many as there are images.
        group_weight: float >= 0.
        purity: float in [0, 1], tau.
        augmentation: keras layer or None.

    Raises:
        ValueError: as in `OutlierTraining`, or more groups than images.

    Reference:
        Yang et al., "Semantically Coherent Out-of-Distribution Detection", ICCV 2021, section 4;
        emphasis and weights of groups as in its released code, which reduces features of more than
        256 dimensions before they are grouped.
    """

    objective = "udg"
    formula = (
        "ce of labelled and filtered + {weight:g} * ce of outliers to uniform "
        "+ {group_weight:g} * ce of {groups} groups, filtered above purity {purity:g}"
    )
    scored_by = "msp"
    needs_rows = True
    help = {
        "weight": "weight of the outliers' cross-entropy to uniform [.5]",
        "groups": "groups of k-means [1000]",
        "group_weight": "weight of the groups' cross-entropy [.1]",
        "purity": "share of a class in a group above which it takes the group over [.8]",
    }

    def __init__(
        self,
        network,
        weight: float = 0.5,
        groups: int = 1000,
        group_weight: float = 0.1,
        purity: float = 0.8,
        augmentation=None,
        **kwargs,
    ):
        check_not_negative(group_weight=group_weight)
        check_fraction(purity=purity)
        super().__init__(network, weight, augmentation, **kwargs)
        self.read_features()
        self.groups = groups
        self.group_weight = self.setting(group_weight, "group_weight")
        self.purity = purity

    def begin_training(self, batches):
        num_images, num_outliers = len(batches.images), len(batches.outliers)
        if not 1 < self.groups <= num_images + num_outliers:
            raise InvalidInputError(
                f"Expected 2 to {num_images + num_outliers} groups, at most one for each image. "
                f"Received: groups={self.groups}"
            )
        self._images, self._labels, self._seed = batches.images, batches.labels, batches.seed
        features = self.outputs_between_epochs(batches.images[:1])["features"]
        self.group_head = keras.layers.Dense(self.groups, dtype="float32", name="groups")
        self.group_head.build((None, features.shape[-1]))
        # What is known of each image, and of each group.
        self.groups_in, self.groups_out, self.labels_out, self.emphasis, self.group_scale = (
            self.add_weight((size,), "zeros", dtype, trainable=False, autocast=False, name=name)
            for size, dtype, name in (
                (num_images, "int32", "groups_in"),
                (num_outliers, "int32", "groups_out"),
                (num_outliers, "int32", "labels_out"),
                (num_outliers, "float32", "emphasis"),
                (self.groups, "float32", "group_scale"),
            )
        )

    def begin_epoch(self, epoch, outliers):
        features = np.concatenate(
            [self.outputs_between_epochs(images)["features"] for images in (self._images, outliers)]
        )
        features /= np.linalg.norm(features, axis=1, keepdims=True) + 1e-12
        seed = int(np.random.default_rng([self._seed, epoch]).integers(2**31))
        k_means = MiniBatchKMeans(self.groups, random_state=seed, n_init=1)
        group = k_means.fit_predict(features)
        group_in, group_out = np.split(group, [len(self._images)])
        labels_out, emphasis = filtered(group_in, self._labels, group_out, self.purity)
        sizes = np.bincount(group, minlength=self.groups)
        scale = 1 / np.sqrt(np.maximum(sizes, 1))
        self.groups_in.assign(group_in)
        self.groups_out.assign(group_out)
        self.labels_out.assign(labels_out)
        self.emphasis.assign(emphasis)
        self.group_scale.assign(scale / scale.mean())
        generator = np.random.default_rng([self._seed, epoch, 1])
        self.group_head.kernel.assign(generator.normal(0, 0.01, self.group_head.kernel.shape))
        self.group_head.bias.assign(np.zeros(self.groups))

    def outlier_loss(self, labels, ce, outputs):
        labels_out = ops.take(self.labels_out.value, outputs["rows_out"])
        has_class = ops.cast(labels_out != OUTLIER, "float32")
        ce_out = objectives.cross_entropy(ops.maximum(labels_out, 0), outputs["logits_out"])
        count = ops.sum(ops.ones_like(ce)) + ops.sum(has_class)
        classified = (ops.sum(ce) + ops.sum(has_class * ce_out)) / count
        emphasis = ops.take(self.emphasis.value, outputs["rows_out"]) * (1.0 - has_class)
        uniform = objectives.uniform_cross_entropy(outputs["logits_out"])
        left = ops.maximum(ops.sum(1.0 - has_class), 1.0)
        return (
            classified
            + self.weight * ops.sum(emphasis * uniform) / left
            + self.group_weight * self._group_loss(outputs)
        )

    def _group_loss(self, outputs):
        groups = ops.concatenate(
            [
                ops.take(self.groups_in.value, outputs["rows"]),
                ops.take(self.groups_out.value, outputs["rows_out"]),
            ]
        )
        features = ops.concatenate([outputs["features"], outputs["features_out"]])
        losses = objectives.cross_entropy(groups, self.group_head(features))
        return ops.mean(ops.take(self.group_scale.value, groups) * losses)


def filtered(group_in, labels, group_out, purity):
    """Classes of the unlabelled images whose groups belong to one, and the weight of the others.

    Args:
        group_in: (N,) int, of the labelled images.
        labels: (N,) int.
        group_out: (M,) int, of the unlabelled images.
        purity: float, share above which a class, or what has none, takes a group over.

    Returns:
        (labels_out (M,) int32, OUTLIER where there is none, emphasis (M,) float32: 2 or 1).
    """
    num_groups = 1 + max(group_in.max(), group_out.max())
    sizes_out = np.bincount(group_out, minlength=num_groups)
    by_class = np.zeros((num_groups, 1 + labels.max()), "int64")
    np.add.at(by_class, (group_in, labels), 1)
    sizes = np.maximum(by_class.sum(axis=1) + sizes_out, 1)
    is_pure = by_class.max(axis=1) / sizes > purity
    classes = np.where(is_pure, by_class.argmax(axis=1), OUTLIER)
    emphasis = np.where(~is_pure & (sizes_out / sizes > purity), EMPHASIS, 1.0)
    return classes[group_out].astype("int32"), emphasis[group_out].astype("float32")
