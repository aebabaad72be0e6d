"""Classifiers built in the ways people build them: right answers, or a refusal that says why.

Each is compared with Keras's own `predict` on the same images; the energy with NumPy.
"""

import keras
import numpy as np
import pytest
from classifiers import Subclassed, functional
from keras import layers
from tiny_models import random_images

from kerasood.detectors import Energy
from kerasood.export import export_model
from kerasood.extractor import build_extractor, head_of
from kerasood.serving import OODModel
from kerasood.thresholds import calibrate

IMAGES = random_images((8, 8, 3), 40)


def seeded(make):
    def build():
        keras.utils.set_random_seed(0)
        return make()

    return build


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
}  # fmt: skip
PROBABILITIES = {
    "functional softmax", "softmax layer", "named logits softmax", "named main softmax", "nested",
    "mixed precision", "binary sigmoid", "binary sigmoid layer",
}  # fmt: skip


def log_softmax(logits):
    logits = logits.astype("float64")
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    """(name, network, images, what Keras predicts for them as (N, K))."""
    network = seeded(MODELS[request.param])()
    images = IMAGES[..., :1] if request.param == "one channel" else IMAGES
    if request.param == "subclassed":
        network(images.astype("float32"))
    predicted = network.predict(images.astype("float32"), verbose=0)
    predicted = next(iter(predicted.values())) if isinstance(predicted, dict) else predicted
    if predicted.shape[-1] == 1:
        first = 1 - predicted if request.param in PROBABILITIES else 0 * predicted
        predicted = np.concatenate([first, predicted], axis=-1)
    return request.param, network, images, predicted


def test_logits_and_energy_are_those_of_keras(case):
    name, network, images, predicted = case
    extractor = build_extractor(network)
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


def test_a_calibrated_model_keeps_its_rate_and_comes_back_from_its_file(case, tmp_path):
    name, network, images, predicted = case
    energies = OODModel(network, Energy(), 0.0).predict(images)["energy"]
    threshold = calibrate(energies, tpr=0.9)
    names = [f"class {number}" for number in range(predicted.shape[-1])]
    model = OODModel(network, Energy(), threshold, class_names=names)
    answers = model.predict(images)
    assert np.sum(~answers["is_ood"]) == threshold.rank
    if name != "mixed precision":  # rounding makes ties of near probabilities
        classes = np.argmax(answers["probabilities"], axis=-1)
        np.testing.assert_array_equal(classes, np.argmax(predicted, axis=-1))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(images)["score"], answers["score"], rtol=1e-5)
    assert loaded.class_names == tuple(names)


@pytest.mark.slow
def test_exported_files_answer_alike(case, tmp_path):
    _, network, images, _ = case
    energies = OODModel(network, Energy(), 0.0).predict(images)["energy"]
    model = OODModel(network, Energy(), calibrate(energies, tpr=0.9))
    # Every format is compared with Keras, number by number, before it is kept.
    exported = export_model(model, tmp_path / "exported", images=images)
    assert exported.paths["saved_model"].exists()


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
