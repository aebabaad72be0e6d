import warnings

import keras
import numpy as np
import pytest
from classifiers import Subclassed, built, functional
from keras import layers
from tiny_models import random_images

from kerasood.detectors import Energy
from kerasood.extractor import (
    Preprocessing,
    build_extractor,
    head_of,
    preprocessing_of,
    with_preprocessing,
)
from kerasood.serving import OODModel

PIXEL = np.array([[[[255, 51, 0]]]], "uint8")
BY_HAND = {
    "none": [255, 51, 0],
    "scale_0_1": [1, 0.2, 0],
    "scale_-1_1": [1, -0.6, -1],
    "imagenet_torch": [(1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, -0.406 / 0.225],
    "imagenet_caffe": [0 - 103.939, 51 - 116.779, 255 - 123.68],
}
OF_KERAS = {
    "imagenet_caffe": keras.applications.resnet50.preprocess_input,
    "imagenet_torch": keras.applications.densenet.preprocess_input,
    "scale_-1_1": keras.applications.mobilenet_v2.preprocess_input,
    "scale_0_1": lambda pixels: pixels / 255,
}
IMAGES = random_images((8, 8, 3))


def on_rescaled_pixels(dtype="float32"):
    """A classifier whose pixels were rescaled outside of it."""
    keras.utils.set_random_seed(0)
    convolution = layers.Conv2D(6, 3, activation="relu")
    return functional(convolution, layers.Flatten(), layers.Dense(4), dtype=dtype)


@pytest.mark.parametrize("name", BY_HAND)
def test_pixels_worked_by_hand(name):
    for pixels in (PIXEL, PIXEL.astype("float32")):
        np.testing.assert_allclose(Preprocessing(name)(pixels)[0, 0, 0], BY_HAND[name], rtol=1e-5)


@pytest.mark.parametrize("name", OF_KERAS)
def test_names_functions_and_layers_say_the_same(name):
    expected = np.asarray(Preprocessing(name)(IMAGES))
    for function in (OF_KERAS[name], layers.Lambda(OF_KERAS[name])):
        np.testing.assert_allclose(Preprocessing(function)(IMAGES), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("given", ["scale_0_1", OF_KERAS["scale_0_1"], layers.Rescaling(1 / 255)])
def test_a_model_on_rescaled_pixels_answers_on_uint8_as_before(given, tmp_path):
    network = on_rescaled_pixels()
    expected = network.predict(IMAGES / np.float32(255), verbose=0)
    extractor = build_extractor(network, preprocessing=given)
    outputs = extractor.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(head_of(extractor).logits(outputs["features"]), expected, atol=1e-4)
    model = OODModel(network, Energy(), 0.0, preprocessing=given)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded.predict(IMAGES)["logits"], expected, rtol=1e-4, atol=1e-5)


def test_a_model_with_a_call_of_its_own_takes_preprocessing():
    keras.utils.set_random_seed(0)
    network = Subclassed()
    rescaled = IMAGES / np.float32(255)
    expected = network(rescaled)
    extractor = build_extractor(network, preprocessing="scale_0_1", image_shape=(8, 8, 3))
    np.testing.assert_allclose(extractor(IMAGES)["logits"], expected, rtol=1e-4, atol=1e-5)


def test_the_way_of_resizing_travels_with_the_model(tmp_path):
    stretched = Preprocessing("scale_0_1", resizing="stretch", antialias=False)
    model = OODModel(on_rescaled_pixels(), Energy(), 0.0, preprocessing=stretched)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        found = one.preprocessing
        assert (found.pixels, found.resizing, found.antialias) == ("scale_0_1", "stretch", False)
        assert one.metadata["preprocessing"] == {"resizing": "stretch", "antialias": False}
    assert preprocessing_of(on_rescaled_pixels()).resizing == "crop"


def test_raw_pixels_at_the_first_weights_are_warned_of():
    with pytest.warns(UserWarning, match="no layer that rescales pixels .* preprocessing="):
        build_extractor(on_rescaled_pixels())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_extractor(on_rescaled_pixels(), preprocessing="none")


@pytest.mark.parametrize(
    "first",
    [
        layers.Rescaling(1 / 255),
        layers.Normalization(mean=128.0, variance=64.0),
        layers.BatchNormalization(),
        lambda images: keras.ops.cast(images, "float32") / 255,
        keras.Sequential([layers.RandomFlip(), layers.Rescaling(1 / 255)]),
    ],
    ids=["rescaling", "normalization", "batch norm", "operation", "nested"],
)
def test_models_that_rescale_inside_are_not_warned_of(first):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_extractor(functional(first, layers.Conv2D(6, 3), layers.Flatten(), layers.Dense(4)))


APPLICATIONS = {
    "EfficientNetB0": False,
    "MobileNetV3Small": False,
    "MobileNetV2": True,
    "DenseNet121": True,
}


@pytest.mark.parametrize("name", APPLICATIONS)
@pytest.mark.slow
def test_applications_that_rescale_inside_are_not_warned_of(name):
    make = getattr(keras.applications, name)
    network = make(weights=None, input_shape=(32, 32, 3), classes=4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build_extractor(network)
    assert bool(caught) == APPLICATIONS[name]


def test_what_is_no_preprocessing_is_refused():
    network = on_rescaled_pixels()
    with pytest.raises(ValueError, match="Did you mean 'scale_0_1'"):
        build_extractor(network, preprocessing="scale_01")
    with pytest.raises(ValueError, match="Expected a name, a layer or a function.*Received: 3"):
        build_extractor(network, preprocessing=3)
    with pytest.raises(ValueError, match="Expected a function of keras.ops.* fails on a symbolic"):
        build_extractor(network, preprocessing=lambda pixels: np.sort(pixels.numpy()))
    with pytest.raises(ValueError, match="which has its own inside"):
        build_extractor(with_preprocessing(network, "scale_0_1"), preprocessing="scale_0_1")
    with pytest.raises(ValueError, match="Expected images of 3 channels"):
        Preprocessing("imagenet_caffe")(np.zeros((1, 8, 8, 1), "uint8"))
    with pytest.raises(ValueError, match="Expected preprocessing for build_extractor"):
        extractor = build_extractor(network)
        OODModel(extractor, Energy(), 0.0, preprocessing="scale_0_1")


class Converter(layers.Rescaling):
    """As KerasHub's image converters: it rescales, and resizes what has another size."""

    image_size, crop_to_aspect_ratio, pad_to_aspect_ratio, antialias = (8, 8), False, True, False

    def call(self, images):
        return super().call(images) * self.gain

    gain = 1


class Preprocessor:
    def __init__(self, converter):
        self.image_converter = converter


def task(converter):
    network = on_rescaled_pixels()
    object.__setattr__(network, "preprocessor", Preprocessor(converter))
    return network


def test_a_task_s_own_preprocessor_becomes_part_of_its_extractor():
    network = task(Converter(1 / 64, offset=-2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extractor = build_extractor(network)
    expected = network.predict(IMAGES / np.float32(64) - 2, verbose=0)
    found = extractor.predict(IMAGES, verbose=0)["logits"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    prepared = preprocessing_of(extractor)
    assert (prepared.resizing, prepared.antialias) == ("pad", False)


def test_a_task_whose_preprocessor_does_more_is_refused():
    other = Converter(1 / 64)
    other.gain = 2
    for network in (task(other), task(None)):
        with pytest.raises(ValueError, match="a function of keras.ops in preprocessing=.*no part"):
            build_extractor(network)
    build_extractor(network, preprocessing=lambda images: images / 32)


class Prepared(Subclassed):
    """A model whose `call` uses what it names a preprocessor, and that says it is built."""

    def __init__(self):
        super().__init__()
        self.preprocessor = keras.Sequential([layers.Rescaling(1 / 255)])
        self.built = True

    def call(self, images, training=None):
        return super().call(255 * self.preprocessor(images), training)


@pytest.mark.parametrize("preprocessing", [None, "none"])
def test_a_preprocessor_that_the_call_uses_is_a_layer_as_any_other(preprocessing):
    network = built(Prepared())
    extractor = build_extractor(network, image_shape=(8, 8, 3), preprocessing=preprocessing)
    expected = network.predict(IMAGES.astype("float32"), verbose=0)
    found = extractor.predict(IMAGES, verbose=0)["logits"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="built by a call on images.*of class Prepared"):
        build_extractor(network, preprocessing=preprocessing)


@pytest.mark.parametrize("scale", [1, 255])
def test_floats_are_refused_with_the_lines_that_mend_it(scale):
    model = OODModel(on_rescaled_pixels(), Energy(), 0.0, preprocessing="scale_0_1")
    images = IMAGES / np.float32(255) * scale
    with pytest.raises(ValueError, match=r"float32(.|\n)*np.rint\(images \* 255\)(.|\n)*scale_0_1"):
        model.predict(images)
