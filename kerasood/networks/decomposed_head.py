"""Heads of networks that some detectors are made for."""

import keras
from keras import ops

from kerasood.errors import InvalidInputError
from kerasood.networks.wide_resnet import BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM

# As the released code guards the cosine's norms.
SMALLEST_NORM = 1e-4


@keras.saving.register_keras_serializable(package="kerasood")
class DeconfHead(keras.layers.Layer):
    """Decomposed confidence: logits h_k(x) / g(x) of features x, for `GODIN`.

    g(x) = sigmoid(batch norm of a Dense layer with one unit), and h_k(x) is one of

    * "inner": x . w_k + b_k
    * "cosine": the cosine of the angle between x and w_k
    * "euclid": minus the mean over the D coordinates of (x - w_k)^2; the paper has the sum, its
      released code the mean.

    Train a model of images -> `head(features)["logits"]` by cross-entropy; use one with all of its
    outputs as the extractor. The paper leaves the w_k out of weight decay.

    Args:
        num_classes: int >= 2.
        similarity: "inner", "cosine" or "euclid"; the paper's DeConf-I, -C and -E.

    Input: features (N, D). Output, float32: {"logits": (N, K), "numerators": (N, K), "divisor":
    (N, 1)}.

    Raises:
        ValueError: an unknown similarity or fewer than two classes.

    Reference:
        Hsu et al., "Generalized ODIN: Detecting Out-of-distribution Image without Learning from
        Out-of-distribution Data", CVPR 2020, section 3.
    """

    def __init__(self, num_classes, similarity="cosine", dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        if similarity not in SIMILARITIES:
            raise InvalidInputError(
                f"Expected similarity out of {', '.join(SIMILARITIES)}. Received: {similarity!r}"
            )
        if num_classes < 2:
            raise InvalidInputError(f"Expected num_classes >= 2. Received: {num_classes}")
        self.num_classes = num_classes
        self.similarity = similarity
        self.divisor = keras.layers.Dense(1, dtype=dtype, name="divisor")
        self.divisor_norm = keras.layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, dtype=dtype,
            name="divisor_norm",
        )

    def build(self, features_shape):
        self.kernel = self.add_weight(
            shape=(features_shape[-1], self.num_classes),
            # N(0, sqrt(2 / D)).
            initializer=keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal"),
            name="kernel",
        )
        self.bias = None
        if self.similarity == "inner":
            self.bias = self.add_weight(
                shape=(self.num_classes,), initializer="zeros", name="bias"
            )
        self.divisor.build(features_shape)
        self.divisor_norm.build((features_shape[0], 1))

    def call(self, features, training=None):
        numerators = SIMILARITIES[self.similarity](features, self.kernel)
        if self.bias is not None:
            numerators = numerators + self.bias
        divisor = ops.sigmoid(self.divisor_norm(self.divisor(features), training=training))
        return {"logits": numerators / divisor, "numerators": numerators, "divisor": divisor}

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "similarity": self.similarity,
        }


def _cosine(features, kernel):
    features_norm = ops.sqrt(ops.sum(ops.square(features), axis=-1, keepdims=True))
    kernel_norm = ops.sqrt(ops.sum(ops.square(kernel), axis=0))
    product = ops.matmul(features, kernel)
    return product / ((features_norm + SMALLEST_NORM) * (kernel_norm + SMALLEST_NORM))


def _minus_mean_squared_distance(features, kernel):
    # One difference per class and coordinate: expanded squares would cancel where it matters.
    difference = ops.expand_dims(features, -1) - kernel
    return -ops.mean(ops.square(difference), axis=1)


SIMILARITIES = {
    "inner": ops.matmul,
    "cosine": _cosine,
    "euclid": _minus_mean_squared_distance,
}
