"""Training that sees outliers beside the in-distribution images: what such objectives share."""

import typing

from keras import ops

from kerasood.errors import InvalidInputError, check_not_negative
from kerasood.training import objectives
from kerasood.training.trainers.cross_entropy import CrossEntropyTraining


class OutlierTraining(CrossEntropyTraining):
    """Cross-entropy on in-distribution images plus weight * a penalty that outliers take part in.

    Trains on batches ({"images": (N, H, W, C), "outliers": (M, H, W, C)}, labels (N,)). Both go
    through augmentation and network together: batch norm's statistics are those of all N + M.
    Logs the outliers' mean energy as `energy_out` beside `energy`, that of the images. Validation
    takes plain images, as in the other objectives.

    A subclass implements `outlier_penalty` of the two sets of logits, or `outlier_loss` of all
    outputs.

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
        self.log_mean("energy_out", in_validation=False)

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
        parts = {name: values[:num_images] for name, values in outputs.items()}
        parts |= {f"{name}_out": values[num_images:] for name, values in outputs.items()}
        return parts | {name: inputs[name] for name in ("rows", "rows_out") if name in inputs}

    def training_loss(self, labels, ce, outputs):
        if "logits_out" not in outputs:  # in validation
            return ops.mean(ce)
        self.log_mean("energy_out", objectives.energy(outputs["logits_out"]))
        return self.outlier_loss(labels, ce, outputs)

    def outlier_loss(
        self, labels: typing.Any, ce: typing.Any, outputs: dict[str, typing.Any]
    ) -> typing.Any:
        """Loss of a training batch, a scalar.

        Args:
            labels: (N,) int.
            ce: (N,) float32, cross-entropy of the images.
            outputs: {"logits": (N, K), "logits_out": (M, K), ...} float32, all of the network's for
                the images and, with "_out", the outliers; "rows", "rows_out" where asked for.
        """
        penalty = self.outlier_penalty(outputs["logits"], outputs["logits_out"])
        return ops.mean(ce) + self.weight * penalty

    def outlier_penalty(self, logits: typing.Any, logits_out: typing.Any) -> typing.Any:
        """The penalty before its weight, a scalar, of float32 logits (N, K) and (M, K)."""
        raise NotImplementedError
