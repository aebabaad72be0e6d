"""Training that sees outliers beside the in-distribution images: what such objectives share."""

from keras import ops

from kerasood.errors import InvalidInputError
from kerasood.training import objectives
from kerasood.training.parameters import check_not_negative
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
        ValueError: a negative weight, a network without logits, or training batches without
            outliers.
    """

    needs_outliers = True

    def __init__(self, network, weight: float, augmentation=None, **kwargs):
        check_not_negative(weight=weight)
        super().__init__(network, augmentation, **kwargs)
        self.weight = self.setting(weight, "weight")
        self.log_mean("energy_out")

    def mix(self, inputs):
        if not isinstance(inputs, dict):
            raise InvalidInputError('Expected batches of {"images", "outliers"}. Received: images')
        outliers = ops.cast(inputs["outliers"], inputs["images"].dtype)
        return ops.concatenate([inputs["images"], outliers])

    def call(self, inputs, training=None):
        """Outputs of the images, and of a training batch's outliers as "logits_out" and so on."""
        if not isinstance(inputs, dict):
            return super().call(inputs, training)
        outputs = super().call(inputs, training)
        num_images = ops.shape(inputs["images"])[0]
        return {name: values[:num_images] for name, values in outputs.items()} | {
            f"{name}_out": values[num_images:] for name, values in outputs.items()
        }

    def penalty(self, outputs):
        if "logits_out" not in outputs:
            return 0.0
        logits = ops.cast(outputs["logits"], "float32")
        logits_out = ops.cast(outputs["logits_out"], "float32")
        self.log_mean("energy_out", objectives.energy(logits_out))
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
