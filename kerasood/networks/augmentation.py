"""Image layers that run inside the compiled step: standardisation and random crop and flip."""

import keras
from keras import ops

from kerasood.errors import InvalidInputError

# Channel statistics of the CIFAR training sets (pixels 0-255), as the energy-score code uses them.
CIFAR_MEAN = (125.3, 123.0, 113.9)
CIFAR_STD = (63.0, 62.1, 66.7)


@keras.saving.register_keras_serializable(package="kerasood")
class Standardize(keras.layers.Layer):
    """Turns pixels 0-255 into zero-mean, unit-variance channels.

    Being a layer, it travels with the model: whoever serves it feeds plain uint8 images.

    Args:
        mean: float per channel, pixels 0-255.
        std: float per channel, pixels 0-255, > 0.
    """

    def __init__(self, mean=CIFAR_MEAN, std=CIFAR_STD, **kwargs):
        super().__init__(**kwargs)
        if len(mean) != len(std) or min(std) <= 0:
            raise InvalidInputError(
                "Expected one mean and one std > 0 per channel. "
                f"Received: mean={tuple(mean)}, std={tuple(std)}"
            )
        self.mean = tuple(mean)
        self.std = tuple(std)

    def build(self, images_shape):
        if images_shape[-1] != len(self.mean):
            raise InvalidInputError(
                f"Expected images of {len(self.mean)} channels. Received: shape={images_shape}"
            )

    def call(self, images):
        pixels = ops.cast(images, "float32")
        standardized = (pixels - ops.array(self.mean, "float32")) / ops.array(self.std, "float32")
        return ops.cast(standardized, self.compute_dtype)

    def compute_output_spec(self, images):
        return keras.KerasTensor(images.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "std": self.std}


@keras.saving.register_keras_serializable(package="kerasood")
class RandomCropFlip(keras.layers.Layer):
    """Shifts each image by its own random offset and mirrors it with probability 1/2.

    Equal to zero-padding by `padding` pixels and cropping a random window of the original size,
    drawn per image (`keras.layers.RandomCrop` draws one offset for a whole batch). The identity
    when `training` is false.

    Args:
        padding: int >= 0, pixels added on every side before the crop.
        flip: bool, whether to mirror left and right.
        seed: int, seed of the layer's own random stream.
    """

    def __init__(self, padding=4, flip=True, seed=None, **kwargs):
        super().__init__(**kwargs)
        if padding < 0:
            raise InvalidInputError(f"Expected padding >= 0 pixels. Received: padding={padding}")
        self.padding = padding
        self.flip = flip
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images, training=None):
        if not training:
            return images
        num_images, height, width, channels = ops.shape(images)
        rows = self._offsets(num_images) + ops.arange(height)
        columns = self._offsets(num_images) + ops.arange(width)
        if self.flip:
            mirrored = keras.random.uniform((num_images, 1), seed=self.seed_generator) < 0.5
            columns = ops.where(mirrored, ops.flip(columns, axis=1), columns)
        border = (self.padding, self.padding)
        padded = ops.pad(images, ((0, 0), border, border, (0, 0)))
        return _take_windows(padded, rows, columns)

    def _offsets(self, num_images):
        return keras.random.randint(
            (num_images, 1), 0, 2 * self.padding + 1, seed=self.seed_generator
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "padding": self.padding,
            "flip": self.flip,
            "seed": self.seed,
        }


def _take_windows(images, rows, columns):
    """Gathers pixel [n, rows[n, i], columns[n, j]] of (N, H, W, C) images: (N, i, j, C)."""
    num_images, height, width, channels = ops.shape(images)
    first_pixel = ops.arange(num_images)[:, None, None] * (height * width)
    pixels = first_pixel + rows[:, :, None] * width + columns[:, None, :]
    return ops.take(ops.reshape(images, (-1, channels)), pixels, axis=0)
