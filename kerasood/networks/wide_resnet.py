"""Wide residual networks for small images."""

from collections.abc import Sequence

import keras
from keras import layers

from kerasood.errors import InvalidInputError
from kerasood.networks.augmentation import CIFAR_MEAN, CIFAR_STD, Standardize
from kerasood.networks.batch_norm import BatchNormalization
from kerasood.networks.dropout import Dropout

# PyTorch's defaults, which the reference recipe was tuned with; Keras's differ (0.99, 1e-3).
BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-5
# Two of the three stages halve the sides of what they get.
SHRINKS = 4


@keras.saving.register_keras_serializable(package="kerasood")
class WideResNet(keras.Model):
    """Wide residual network WRN-depth-width: uint8 images in, logits out.

    Pre-activation blocks in three stages of 16, 32 and 64 channels times `width`; where the
    channels change, batch norm and ReLU feed both branches and the shortcut is a 1x1 convolution.
    The layer `features` is the pooled input of the head `logits`.

    Args:
        depth: int, 6 * blocks per stage + 4: 10, 16, 28, 40...
        width: int >= 1, multiplier of the channels.
        num_classes: int >= 2.
        dropout: float in [0, 1), between the two 3x3 convolutions of a block.
        image_size: int, height and width in pixels, divisible by 4.
        mean: float per channel, pixels 0-255, of the standardisation.
        std: float per channel, pixels 0-255.
        dtype: dtype policy of the layers, such as "mixed_bfloat16"; the logits stay float32.

    Input: uint8 (N, image_size, image_size, 3). Output: float32 (N, num_classes).

    Raises:
        ValueError: depth, width, num_classes, dropout or image_size is out of range.

    Reference:
        Zagoruyko & Komodakis, "Wide Residual Networks", BMVC 2016; initialisation and details as
        in the outlier-exposure code that the energy score's models were trained with.
    """

    def __init__(
        self,
        depth: int = 40,
        width: int = 2,
        num_classes: int = 10,
        dropout: float = 0.3,
        image_size: int = 32,
        mean: Sequence[float] = CIFAR_MEAN,
        std: Sequence[float] = CIFAR_STD,
        dtype: str | None = None,
        name: str | None = None,
        **kwargs,
    ):
        _check(depth, width, num_classes, dropout, image_size)
        policy = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
        images = keras.Input((image_size, image_size, len(mean)), dtype="uint8", name="images")
        x = Standardize(mean, std, dtype=policy, name="standardize")(images)
        x = _convolution(16, 3, 1, policy, "stem")(x)
        for stage, channels in enumerate((16 * width, 32 * width, 64 * width), start=1):
            for block in range(1, (depth - 4) // 6 + 1):
                stride = 2 if stage > 1 and block == 1 else 1
                x = _block(x, channels, stride, dropout, policy, f"stage{stage}_block{block}")
        x = _normalized(x, policy, "final")
        features = layers.GlobalAveragePooling2D(dtype=policy, name="features")(x)
        logits = layers.Dense(
            num_classes,
            # U(-1/sqrt(D), 1/sqrt(D)), PyTorch's default for a linear layer.
            kernel_initializer=keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform"),
            dtype="float32",
            name="logits",
        )(features)
        super().__init__(images, logits, name=name or f"wrn_{depth}_{width}", **kwargs)
        self._config = {
            "depth": depth,
            "width": width,
            "num_classes": num_classes,
            "dropout": dropout,
            "image_size": image_size,
            "mean": tuple(mean),
            "std": tuple(std),
            "dtype": keras.dtype_policies.serialize(policy),
        }

    def get_config(self):
        return {"name": self.name, "trainable": self.trainable, **self._config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)

    def with_dtype(self, dtype: str, dropout: float | None = None) -> "WideResNet":
        """A copy with the same weights and another dtype policy; another dropout if given."""
        changes = {"dtype": dtype} if dropout is None else {"dtype": dtype, "dropout": dropout}
        copy = self.from_config({**self.get_config(), **changes})
        copy.set_weights(self.get_weights())
        return copy


def _check(depth, width, num_classes, dropout, image_size):
    if depth < 10 or (depth - 4) % 6:
        raise InvalidInputError(f"Expected depth = 6 n + 4 with n >= 1. Received: depth={depth}")
    if width < 1:
        raise InvalidInputError(f"Expected width >= 1. Received: width={width}")
    if num_classes < 2:
        raise InvalidInputError(f"Expected num_classes >= 2. Received: num_classes={num_classes}")
    if not 0 <= dropout < 1:
        raise InvalidInputError(f"Expected dropout in [0, 1). Received: dropout={dropout}")
    if image_size < SHRINKS or image_size % SHRINKS:
        raise InvalidInputError(
            f"Expected image_size divisible by {SHRINKS}. Received: image_size={image_size}"
        )


def _block(x, channels, stride, dropout, policy, name):
    changes_width = x.shape[-1] != channels
    normalized = _normalized(x, policy, f"{name}_1")
    shortcut = x
    if changes_width:
        shortcut = _convolution(channels, 1, stride, policy, f"{name}_shortcut")(normalized)
    residual = normalized
    if stride > 1:
        # Keras's "same" pads stride 2 on one side only; the reference pads 1 on every side.
        residual = layers.ZeroPadding2D(1, dtype=policy, name=f"{name}_pad")(residual)
    residual = _convolution(channels, 3, stride, policy, f"{name}_conv1")(residual)
    residual = _normalized(residual, policy, f"{name}_2")
    if dropout:
        residual = Dropout(dropout, dtype=policy, name=f"{name}_dropout")(residual)
    residual = _convolution(channels, 3, 1, policy, f"{name}_conv2")(residual)
    return layers.Add(dtype=policy, name=f"{name}_add")([shortcut, residual])


def _normalized(x, policy, name):
    x = BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, dtype=policy, name=f"{name}_bn"
    )(x)
    return layers.ReLU(dtype=policy, name=f"{name}_relu")(x)


def _convolution(channels, size, stride, policy, name):
    return layers.Conv2D(
        channels,
        size,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        # N(0, sqrt(2 / (size * size * channels))).
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal"
        ),
        dtype=policy,
        name=name,
    )
