"""Classifiers of (8, 8, 3) images and four classes, built in the ways people build them."""

import functools
import importlib.util

import keras
from classifiers import Subclassed, functional, spread
from keras import layers
from tiny_models import random_images


def conv(**arguments):
    return layers.Conv2D(6, 3, activation="relu", **arguments)


def rescaling():
    return layers.Rescaling(1 / 64, offset=-2)


def sequential():
    body = [rescaling(), conv(), layers.Flatten(), layers.Dense(4)]
    return keras.Sequential([keras.Input((8, 8, 3)), *body])


def ending_in(*ending):
    """A small CNN on uint8 images with another ending."""
    return functional(rescaling(), conv(), layers.Flatten(), *ending)


def residual(merge):
    def block(x):
        return merge(x, layers.Conv2D(6, 3, padding="same", activation="relu")(x))

    parts = (rescaling(), conv(), block, layers.GlobalAveragePooling2D(), layers.Dense(4))
    return functional(*parts)


def by_name(name, activation=None):
    inner = ending_in(layers.Dense(4, activation=activation))
    return keras.Model(inner.input, {name: inner.output})


def nested():
    backbone = functional(conv(), layers.Flatten(), dtype="float32", name="backbone")
    return functional(rescaling(), backbone, layers.Dropout(0.3), layers.Dense(4, "softmax"))


def mixed():
    policy = "mixed_bfloat16"
    parts = [conv(dtype=policy), layers.Flatten(dtype=policy), layers.Dense(4, dtype=policy)]
    return functional(rescaling(), *parts, layers.Activation("softmax", dtype="float32"))


def channels_first():
    parts = [rescaling(), layers.Permute((3, 1, 2)), conv(data_format="channels_first")]
    pooling = layers.GlobalAveragePooling2D(data_format="channels_first")
    return functional(*parts, pooling, layers.Dense(4))


def vision_transformer():
    """Patches, attention, an average and a head."""
    images = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 4, 4)(rescaling()(images))
    x = layers.Reshape((4, 8))(x)
    x = x + layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(images, layers.Dense(4)(x))


def grouped():
    """A network with a grouped convolution, which tf2onnx cannot convert."""
    convolution = layers.Conv2D(6, 3, groups=3, name="of_three_groups")
    return functional(rescaling(), convolution, layers.Flatten(), layers.Dense(4))


def scaled_outside():
    return functional(conv(), layers.Flatten(), layers.Dense(4), dtype="float32")


def application(name, **arguments):
    shape = (32, 32, 3)
    network = getattr(keras.applications, name)(
        weights=None, input_shape=shape, classes=4, classifier_activation=None, **arguments
    )
    spread(network, random_images(shape).astype("float32"))
    return network


def keras_hub_task():
    """A small ResNet whose preprocessor is no part of its graph."""
    import keras_hub

    backbone = keras_hub.models.ResNetBackbone(
        [64], [3], [64, 128], [1, 1], [1, 2], block_type="basic_block", image_shape=(None, None, 3)
    )
    converter = keras_hub.layers.ResNetImageConverter(image_size=(8, 8), scale=1 / 64, offset=-2)
    preprocessor = keras_hub.models.ResNetImageClassifierPreprocessor(image_converter=converter)
    return keras_hub.models.ResNetImageClassifier(backbone, 4, preprocessor=preprocessor)


MODELS = {
    "sequential": sequential,
    "functional softmax": lambda: ending_in(layers.Dense(4, activation="softmax")),
    "softmax layer": lambda: ending_in(layers.Dense(4), layers.Softmax()),
    "1x1 convolution": lambda: functional(
        rescaling(), conv(), layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(4, 1),
        layers.Flatten(),
    ),
    "without bias": lambda: ending_in(layers.Dense(4, use_bias=False)),
    "named logits": lambda: by_name("logits"),
    "named logits softmax": lambda: by_name("logits", "softmax"),
    "named main softmax": lambda: by_name("main", "softmax"),
    "nested": nested,
    "subclassed": Subclassed,
    "residual by a layer": lambda: residual(lambda x, h: layers.Add()([x, h])),
    "residual by +": lambda: residual(lambda x, h: x + h),
    "mixed precision": mixed,
    "channels first": channels_first,
    "vision transformer": vision_transformer,
    "binary logit": lambda: ending_in(layers.Dense(1)),
    "binary sigmoid": lambda: ending_in(layers.Dense(1, activation="sigmoid")),
    "binary sigmoid layer": lambda: ending_in(layers.Dense(1), layers.Activation("sigmoid")),
    "one channel": lambda: functional(
        rescaling(), conv(), layers.Flatten(), layers.Dense(4), shape=(8, 8, 1)
    ),
    "temperature": lambda: ending_in(layers.Dense(4), lambda x: x / 2.5, layers.Softmax()),
    "grouped convolution": grouped,
    "scaled outside": scaled_outside,
}  # fmt: skip
# Heavier: in the slow half.
SLOW_MODELS = {
    "MobileNetV2": functools.partial(application, "MobileNetV2"),
    "MobileNetV3Small": functools.partial(application, "MobileNetV3Small"),
    "EfficientNetB0": functools.partial(application, "EfficientNetB0"),
    "ConvNeXtTiny": functools.partial(application, "ConvNeXtTiny"),
    "ResNet50": functools.partial(application, "ResNet50"),
    "DenseNet121": functools.partial(application, "DenseNet121"),
}
if importlib.util.find_spec("keras_hub"):
    SLOW_MODELS["KerasHub"] = keras_hub_task
