"""Models with code from outside Keras, whose configuration need not tell what they compute."""

import keras
import numpy as np

from kerasood.extractor._keras import all_layers

# Code that comes with a version; its layers' configurations tell all that they compute with.
LIBRARIES = ("keras", "kerasood", "keras_hub")
UNKNOWN_SIDE = 32


def has_own_code(model):
    """True where a layer's class, or a Lambda's function, is from outside the libraries."""
    return any(
        type(layer).__module__.partition(".")[0] not in LIBRARIES
        or isinstance(layer, keras.layers.Lambda)
        for layer in all_layers(model)
    )


def sample_answers(model):
    """Answers of a model to fixed random pixels, bright ones and faint ones.

    Args:
        model: keras.Model of one input.

    Returns:
        list of arrays, one for each output.

    Raises:
        Whatever the model's code raises; ValueError where its input's shape is not known.
    """
    inputs = getattr(model, "inputs", None)
    if inputs:
        (spec,) = inputs
        shape, dtype = spec.shape, spec.dtype
    else:
        shape, dtype = model.get_build_config()["input_shape"], "float32"
    shape = (2, *(size or UNKNOWN_SIDE for size in shape[1:]))
    pixels = np.random.default_rng(0).uniform(0, 255, shape)
    pixels[1] /= 255
    answers = model(keras.ops.convert_to_tensor(pixels.astype(dtype)), training=False)
    return [
        keras.ops.convert_to_numpy(keras.ops.cast(answer, "float32"))
        for answer in keras.tree.flatten(answers)
    ]
