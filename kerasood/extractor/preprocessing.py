"""Preparation of pixels and photographs as in a network's training, kept inside the model."""

import typing
import warnings
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from kerasood.data.decoding import RESIZINGS
from kerasood.data.options import DataOptions
from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import all_layers, has_graph, sublayers
from kerasood.extractor.graph import all_calls
from kerasood.extractor.graph_head import check_single
from kerasood.names import choose

# (scale, offset per channel, whether channels are reversed): pixels 0-255 * scale + offset.
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIXELS = {
    "none": ((1.0,), (0.0,), False),
    "scale_0_1": ((1 / 255,), (0.0,), False),
    "scale_-1_1": ((1 / 127.5,), (-1.0,), False),
    "imagenet_torch": (
        tuple(1 / (255 * std) for std in _IMAGENET_STD),
        tuple(-mean / std for mean, std in zip(_IMAGENET_MEAN, _IMAGENET_STD, strict=True)),
        False,
    ),
    # Blue, green, red, minus their means: as the networks that came from Caffe want them.
    "imagenet_caffe": ((1.0,), (-103.939, -116.779, -123.68), True),
}
# Layers, and operations of keras.ops, that bring pixels into another range.
_RESCALING = {
    "BatchNormalization", "Divide", "GroupNormalization", "LayerNormalization", "Multiply",
    "Normalization", "Preprocessing", "Rescaling", "Standardize", "Subtract", "TrueDivide",
}  # fmt: skip
NO_RESCALING = (
    "The model {name!r} has no layer that rescales pixels before its first weights: it is fed "
    "pixels 0-255. If they were rescaled before training, outside of the model, say how, by "
    'preprocessing="scale_0_1" or another of {names}, a layer or a function such as '
    'keras.applications.resnet50.preprocess_input; if it was trained on 0-255, by "none".'
)


@keras.saving.register_keras_serializable(package="kerasood")
class Preprocessing(layers.Layer):
    """Inputs that a network was trained on, made of pixels 0-255; and how photographs were resized.

    As a layer it travels with the model, so that whoever serves it feeds plain uint8 images.

    Args:
        pixels: "scale_0_1" (x / 255), "scale_-1_1" (x / 127.5 - 1), "imagenet_torch" (x / 255,
            less the mean, over the deviation, per channel of ImageNet), "imagenet_caffe" (channels
            reversed, less their means), "none" (0-255 as they are), a layer, or a function of
            keras.ops, of float32 images (N, H, W, C).
        resizing: how images of other sizes are brought to the network's: "crop" (short side, then
            the centre), "stretch" (as `keras.utils.image_dataset_from_directory` does) or "pad".
        antialias: bool, whether pixels are averaged where images shrink;
            `image_dataset_from_directory` does not.

    Input: (N, H, W, C), pixels 0-255, uint8 or float. Output: float32.
    """

    def __init__(
        self, pixels: typing.Any = "none", resizing: str = "crop", antialias: bool = True, **kwargs
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        if isinstance(pixels, str):
            choose("preprocessing of pixels", pixels, PIXELS)
        elif not callable(pixels):
            raise InvalidInputError(
                "Expected a name, a layer or a function of keras.ops for preprocessing. "
                f"Received: {pixels!r}"
            )
        self.pixels = pixels
        self.resizing = choose("way of resizing", resizing, RESIZINGS)
        self.antialias = bool(antialias)
        self.autocast = False  # a half-precision cast of 0-255 would lose digits

    @classmethod
    def of(cls, value: typing.Any) -> "Preprocessing":
        """A Preprocessing from one, or from what its `pixels` may be."""
        return value if isinstance(value, cls) else cls(value)

    def build(self, images_shape):
        if isinstance(self.pixels, str):
            channels = {len(values) for values in PIXELS[self.pixels][:2]} - {1}
            if channels - {images_shape[-1]}:
                raise InvalidInputError(
                    f"Expected images of {channels.pop()} channels for {self.pixels!r}. "
                    f"Received: shape={tuple(images_shape)}"
                )
        elif not isinstance(self.pixels, layers.Layer):
            self.pixels = _as_graph(self.pixels, images_shape)

    def call(self, images):
        images = ops.cast(images, "float32")
        if not isinstance(self.pixels, str):
            return ops.cast(self.pixels(images), "float32")
        scale, offset, reverse = PIXELS[self.pixels]
        if self.pixels == "none":
            return images
        if reverse:
            images = ops.take(images, (2, 1, 0), axis=-1)
        return images * np.float32(scale) + np.float32(offset)

    def compute_output_shape(self, images_shape):
        if isinstance(self.pixels, str):
            return images_shape
        return self.pixels.compute_output_shape(images_shape)

    def get_config(self):
        pixels = self.pixels
        if not isinstance(pixels, str):
            pixels = keras.saving.serialize_keras_object(pixels)
        own = {"pixels": pixels, "resizing": self.resizing, "antialias": self.antialias}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        pixels = config["pixels"]
        if not isinstance(pixels, str):
            pixels = keras.saving.deserialize_keras_object(pixels)
        return cls(**{**config, "pixels": pixels})


def preprocessing_from(pixels=None, resizing=None, antialias=True):
    """The Preprocessing that flags ask for; None where they leave a model as it is."""
    if pixels is None and resizing is None and antialias:
        return None
    return Preprocessing(pixels or "none", resizing or RESIZINGS[0], antialias)


def preprocessing_of(model: keras.Model) -> Preprocessing | None:
    """The Preprocessing inside a model; where it has none, the default of "none"."""
    found = [layer for layer in all_layers(model) if isinstance(layer, Preprocessing)]
    return found[0] if found else Preprocessing()


def options_for(models: Sequence[keras.Model], options: DataOptions) -> DataOptions:
    """DataOptions of images as some models take them, who share them.

    Args:
        models: list of keras.Models.
        options: DataOptions; the side of the squares, the channels and the way of resizing become
            those of the models, and stay where a model takes any.

    Returns:
        DataOptions. Models of other images than squares keep the side: whoever reads images for
        them checks the shapes.

    Raises:
        ValueError: the models were trained on photographs that were resized in different ways.
    """
    shapes = [shape for model in models if len(shape := _image_shape(model)) == 3]
    changes = {}
    for name, axes in (("image_size", (0, 1)), ("channels", (2,))):
        values = {shape[axis] for shape in shapes for axis in axes} - {None}
        if len(values) == 1 and (name == "image_size" or values <= {1, 3}):
            (changes[name],) = values
    ways = {(found.resizing, found.antialias) for found in map(preprocessing_of, models)}
    if len(ways) > 1:
        raise InvalidInputError(
            "Expected models whose photographs were resized in one way (resizing, antialias). "
            f"Received: {sorted(ways)}"
        )
    ((changes["resizing"], changes["antialias"]),) = ways
    return options.replace(**changes)


def with_preprocessing(
    model: keras.Model, preprocessing: typing.Any, image_shape: tuple | None = None
) -> keras.Model:
    """A model on uint8 images that preprocesses them first; the layers of `model` are shared.

    Args:
        model: keras.Model on (N, H, W, C).
        preprocessing: as `Preprocessing`'s `pixels`, or a Preprocessing; None returns `model`, or
            a KerasHub task with what its own preprocessor does, which is no part of its graph.
        image_shape: (H, W, C), for a model without a graph; by default what it was built with.

    Raises:
        ValueError: the model has one already or takes several inputs, or the preprocessor of a task
            does more than resize and rescale.
    """
    # Others may call a layer of theirs a preprocessor.
    is_task = hasattr(getattr(model, "preprocessor", None), "image_converter")
    if preprocessing is None and not is_task:
        return model
    shape = _image_shape(model, image_shape)
    if preprocessing is None:
        preprocessing, shape = _of_task(model, shape)
    if has_graph(model):
        check_single(model)
    if any(isinstance(layer, Preprocessing) for layer in sublayers(model)):
        raise InvalidInputError(
            f"Expected no preprocessing for model={model.name!r}, which has its own inside. "
            f"Received: preprocessing={preprocessing!r}"
        )
    images = keras.Input(shape, dtype="uint8", name="images")
    prepared = Preprocessing.of(preprocessing)(images)
    return keras.Model(images, model(prepared), name=model.name)


def warn_of_raw_pixels(model):
    """Warns where the graph of a model takes pixels to its first weights as they are.

    A model without a graph is not judged: what its `call` computes is not seen.
    """
    if has_graph(model) and len(model.inputs[0].shape) == 4 and _reaches_weights(model):
        message = NO_RESCALING.format(name=model.name, names=", ".join(map(repr, PIXELS)))
        warnings.warn(message, stacklevel=3)


def _reaches_weights(model):
    for _, call in all_calls(model):
        operation = call.call.operation
        if has_graph(operation):
            continue
        if type(operation).__name__ in _RESCALING:
            return False
        if isinstance(operation, layers.Layer):
            if {type(layer).__name__ for layer in sublayers(operation)} & _RESCALING:
                return False
            if operation.weights and not isinstance(operation, layers.Embedding):
                # Layers that augment images keep the state of their random numbers.
                if any(weight.trainable for weight in operation.weights):
                    return not sublayers(operation)
    return False


def _image_shape(model, given=None):
    if getattr(model, "inputs", None):
        return tuple(model.inputs[0].shape[1:])
    if given is not None:
        return tuple(given)
    shape = (model.get_build_config() or {}).get("input_shape")
    if not shape:
        raise InvalidInputError(
            "Expected a model that was built by a call on images. "
            f"Received: model={model.name!r} of class {type(model).__name__}"
        )
    return tuple(shape[1:])


def _of_task(model, shape):
    """(Preprocessing, image shape) of a KerasHub task, which preprocesses in `predict` alone.

    Raises:
        ValueError: its preprocessor does something else to an image of the right size.
    """
    converter = getattr(model.preprocessor, "image_converter", None)
    size = tuple(getattr(converter, "image_size", None) or shape[:2])
    images = np.random.default_rng(0).integers(0, 256, (2, *(side or 32 for side in size), 3))
    resizing = "stretch"
    for flag, way in (("crop_to_aspect_ratio", "crop"), ("pad_to_aspect_ratio", "pad")):
        resizing = way if getattr(converter, flag, False) else resizing
    scale, offset = (getattr(converter, name, None) for name in ("scale", "offset"))
    pixels = layers.Rescaling(1.0 if scale is None else scale, 0.0 if offset is None else offset)
    found = Preprocessing(pixels, resizing, getattr(converter, "antialias", False))
    expected = converter and ops.convert_to_numpy(converter(images.astype("float32")))
    if expected is None or not np.allclose(expected, found(images), rtol=1e-3, atol=1e-3):
        raise InvalidInputError(
            f"Expected a function of keras.ops in preprocessing= that does for {model.name!r} what "
            "its preprocessor does, which is no part of its graph. Received: a "
            f"{type(model).__name__} whose preprocessor does more than resize and rescale"
        )
    return found, (*size, *shape[2:])


def _as_graph(function, images_shape):
    """A function as a keras.Model, which is saved as operations and not as code."""
    images = keras.Input(tuple(images_shape)[1:], dtype="float32")
    try:
        return keras.Model(images, function(images), name="preprocessing_of_pixels")
    except Exception as error:
        raise InvalidInputError(
            "Expected a function of keras.ops, images (N, H, W, C) in and out. Received: "
            f"{getattr(function, '__name__', function)!r}, which fails on a symbolic image with "
            f"a {type(error).__name__}: {error}"
        ) from error
