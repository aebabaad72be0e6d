"""Classifiers built in the ways people build them: right answers, or a refusal that says why.

Each is compared with Keras's own `predict` on the same images; the energy with NumPy.
"""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from foreign_models import MODELS, SLOW_MODELS, channels_first, ending_in, rescaling
from keras import layers
from tiny_models import random_images

from kerasood.detectors import Energy
from kerasood.export import export_model
from kerasood.export.formats import available_formats
from kerasood.extractor import build_extractor, head_of
from kerasood.serving import OODModel
from kerasood.thresholds import calibrate

IMAGES = random_images((8, 8, 3), 40)


def seeded(make):
    def build():
        keras.utils.set_random_seed(0)
        return make()

    return build


# What pixels go through outside of a model: as kerasood is told, and as Keras's users do it.
PREPARED = {
    "scaled outside": ("scale_-1_1", lambda images: images / 127.5 - 1),
    "MobileNetV2": ("scale_-1_1", keras.applications.mobilenet_v2.preprocess_input),
    "ResNet50": ("imagenet_caffe", keras.applications.resnet50.preprocess_input),
    "DenseNet121": ("imagenet_torch", keras.applications.densenet.preprocess_input),
}
LEFT_OUT = {
    "grouped convolution": {"onnx": "of_three_groups"},
    # Its depthwise convolutions are grouped ones.
    "ConvNeXtTiny": {"onnx": "stage_0_block_0_depthwise_conv"},
}
PROBABILITIES = {
    "functional softmax", "softmax layer", "named logits softmax", "named main softmax", "nested",
    "temperature", "mixed precision", "binary sigmoid", "binary sigmoid layer",
}  # fmt: skip


def log_softmax(logits):
    logits = logits.astype("float64")
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


ALL = {**MODELS, **SLOW_MODELS}
PARAMS = [*MODELS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_MODELS)]


@pytest.fixture(scope="module", params=PARAMS)
def case(request):
    return case_of(request.param)


def case_of(name):
    """(name, network, images, what Keras predicts for them as (N, K), preprocessing)."""
    network = seeded(ALL[name])()
    images = IMAGES[..., :1] if name == "one channel" else IMAGES
    if name in SLOW_MODELS and name != "KerasHub":
        images = random_images((32, 32, 3), 40)
    preprocessing, prepare = PREPARED.get(name, (None, lambda images: images))
    pixels = prepare(images.astype("float32"))
    if name == "subclassed":
        network(pixels)
    predicted = network.predict(pixels, verbose=0)
    predicted = next(iter(predicted.values())) if isinstance(predicted, dict) else predicted
    if predicted.shape[-1] == 1:
        first = 1 - predicted if name in PROBABILITIES else 0 * predicted
        predicted = np.concatenate([first, predicted], axis=-1)
    return name, network, images, predicted, preprocessing


def test_logits_and_energy_are_those_of_keras(case):
    name, network, images, predicted, preprocessing = case
    extractor = build_extractor(network, preprocessing=preprocessing)
    outputs = extractor.predict(images, verbose=0)
    logits = outputs["logits"]
    tolerance = 2e-2 if name == "mixed precision" else 1e-4
    if name in PROBABILITIES:
        np.testing.assert_allclose(np.exp(log_softmax(logits)), predicted, atol=tolerance)
    else:
        np.testing.assert_allclose(logits, predicted, rtol=tolerance, atol=tolerance)
    head = head_of(extractor)
    np.testing.assert_allclose(head.logits(outputs["features"]), logits, rtol=1e-4, atol=1e-4)
    expected = -np.log(np.exp(logits.astype("float64")).sum(axis=-1))
    np.testing.assert_allclose(Energy().score(outputs), expected, rtol=1e-4, atol=1e-4)


def calibrated(network, images, preprocessing):
    """(OODModel, Threshold) at a rate of 90 % on the images."""
    extractor = build_extractor(network, preprocessing=preprocessing)
    energies = OODModel(extractor, Energy(), 0.0).predict(images)["energy"]
    threshold = calibrate(energies, tpr=0.9)
    count = extractor.compute_output_shape(extractor.inputs[0].shape)["logits"][-1]
    names = [f"class {number}" for number in range(count)]
    return OODModel(extractor, Energy(), threshold, class_names=names), threshold


def test_a_calibrated_model_keeps_its_rate_and_comes_back_from_its_file(case, tmp_path, saved):
    name, network, images, predicted, preprocessing = case
    model, threshold = calibrated(network, images, preprocessing)
    answers = model.predict(images)
    assert np.sum(~answers["is_ood"]) == threshold.rank
    if name != "mixed precision":  # rounding makes ties of near probabilities
        classes = np.argmax(answers["probabilities"], axis=-1)
        np.testing.assert_array_equal(classes, np.argmax(predicted, axis=-1))
    path = save(saved, name, model, images, answers)
    loaded = keras.saving.load_model(path)
    np.testing.assert_allclose(loaded.predict(images)["score"], answers["score"], rtol=1e-5)
    assert loaded.class_names == model.class_names


def save(folder, name, model, images, answers):
    """The path of the saved model; its images and scores lie beside it."""
    path = folder / f"{name}.keras"
    model.save(path)
    np.savez(path.with_suffix(".npz"), images=images, score=answers["score"])
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tmp_path_factory.mktemp("saved")


@pytest.mark.slow
def test_all_of_them_come_back_in_a_new_process(saved):
    # Where only the slow tests run, the others have not been here.
    for name in MODELS:
        if not (saved / f"{name}.keras").exists():
            _, network, images, _, preprocessing = case_of(name)
            model, _ = calibrated(network, images, preprocessing)
            save(saved, name, model, images, model.predict(images))
    files = sorted(saved.glob("*.keras"))
    helpers = pathlib.Path(__file__).parent / "helpers"
    path = os.pathsep.join([str(helpers), *sys.path])
    done = subprocess.run(
        [sys.executable, helpers / "reload_models.py", *files],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    differences = json.loads(done.stdout.splitlines()[-1])
    assert len(differences) == len(files) >= len(MODELS)
    assert {name: value for name, value in differences.items() if not value < 1e-4} == {}


@pytest.mark.slow
def test_exported_files_answer_alike(case, tmp_path):
    name, network, images, _, preprocessing = case
    model, _ = calibrated(network, images, preprocessing)
    # Every format is compared with Keras, number by number, before it is kept.
    exported = export_model(
        model, tmp_path / "exported", images=images[:8], calibration_images=images
    )
    expected = LEFT_OUT.get(name, {})
    assert set(exported.left_out) == set(expected), exported.left_out
    assert all(reason in exported.left_out[format] for format, reason in expected.items())
    at_hand = {"saved_model", "tflite", "onnx"} & set(available_formats())
    assert at_hand - set(expected) <= set(exported.paths)


REFUSED = {
    "a multi-label head": (
        lambda: ending_in(layers.Dense(4, activation="sigmoid")),
        "multi-label head: energies and thresholds would be needed for each label",
    ),
    "a layer after the head": (
        lambda: ending_in(layers.Dense(4), layers.ReLU()),
        "Expected a model whose logits come from a Dense layer",
    ),
    "two outputs": (
        lambda: keras.Model(inputs := keras.Input((8, 8, 3)), [
            layers.Dense(4)(layers.Flatten()(inputs)), layers.Dense(4)(layers.Flatten()(inputs))
        ]),
        "Received: 1 inputs and 2 outputs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_right_answer_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        OODModel(make(), Energy(), 0.0)


def test_probabilities_in_the_place_of_an_extractor_s_logits_are_refused():
    inner = ending_in(layers.Dense(5), layers.Dense(4, activation="softmax"))
    features = inner.layers[-2].output
    model = keras.Model(inner.input, {"features": features, "logits": inner.output})
    with pytest.raises(ValueError, match="Expected logits in the output 'logits'. Received: the"):
        OODModel(model, Energy(), 0.0)


def test_hidden_layers_with_channels_first_are_averaged_over_the_image():
    network = seeded(channels_first)()
    name = network.layers[3].name
    outputs = build_extractor(network, hidden_layers=[name]).predict(IMAGES, verbose=0)
    layer = keras.Model(network.input, network.layers[3].output)
    expected = layer.predict(IMAGES, verbose=0).mean(axis=(2, 3))
    np.testing.assert_allclose(outputs[f"hidden/{name}"], expected, rtol=1e-4, atol=1e-5)
    auto = build_extractor(network, hidden_layers="auto").predict(IMAGES, verbose=0)
    assert [values.shape[-1] for key, values in auto.items() if "hidden/" in key] == [6]


@keras.saving.register_keras_serializable(package="kerasood_tests")
class AlwaysLearning(keras.Model):
    """Its batch norm takes the statistics of the batch, whatever it is told."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.rescaling, self.norm = rescaling(), layers.BatchNormalization()
        self.flatten, self.head = layers.Flatten(), layers.Dense(4)

    def call(self, images, training=None):
        return self.head(self.flatten(self.norm(self.rescaling(images), training=True)))


def test_building_an_extractor_leaves_moving_averages_as_they_are():
    network = AlwaysLearning()
    network(IMAGES.astype("float32"))
    before = [weight.copy() for weight in network.get_weights()]
    build_extractor(network)
    for weight, other in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, other)
