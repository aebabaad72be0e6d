"""Small classifiers of every build: graphs, nested ones, and models with a `call` of their own."""

import keras
import numpy as np
from keras import layers, ops

from kerasood.extractor import build_extractor, head_layer, head_of

NUM_CLASSES = 4


def functional(*parts, dtype="uint8", shape=(8, 8, 3), name="mine"):
    """A Functional from images through layers or functions."""
    images = x = keras.Input(shape, dtype=dtype, name=f"{name}_images")
    for part in parts:
        x = part(x)
    return keras.Model(images, x, name=name)


def stem(policy="float32"):
    """Layers that turn images into vectors spread over several units."""
    return [
        layers.Rescaling(1 / 64, offset=-2, dtype=policy),
        layers.Conv2D(6, 3, activation="relu", dtype=policy, name="stem_conv"),
        layers.Flatten(dtype=policy),
    ]


def maps():
    """Layers that turn images into maps (N, 6, 6, 6)."""
    return stem()[:2]


def backbone(dtype="uint8", name="backbone"):
    return functional(
        *stem(), layers.Dense(5, activation="relu", name="inner"), dtype=dtype, name=name
    )


@keras.saving.register_keras_serializable(package="kerasood_tests")
class Subclassed(keras.Model):
    """A network with a call of its own; `ending` is what it does to the logits."""

    vectors = layers.Flatten

    def __init__(self, ending=None, activation="relu", name="mine"):
        super().__init__(name=name)
        self.ending, self.activation = ending, activation
        self.conv = layers.Conv2D(6, 3, activation=activation, name="conv")
        self.norm = layers.BatchNormalization()
        self.flatten = self.vectors()
        self.hidden = layers.Dense(NUM_CLASSES, activation=activation)
        self.dropout = layers.Dropout(0.5)
        self.head = layers.Dense(NUM_CLASSES, bias_initializer="uniform")

    def call(self, images, training=None):
        x = self.norm(self.conv(ops.cast(images, "float32") / 64 - 2), training=training)
        x = self.dropout(self.hidden(self.flatten(x)), training=training)
        logits = self.head(x)
        return getattr(ops, self.ending)(logits) if self.ending else logits

    def get_config(self):
        return {"ending": self.ending, "activation": self.activation, "name": self.name}


def built(network, shape=(8, 8, 3)):
    network(np.zeros((1, *shape), "uint8"))
    return network


def state(network):
    """All that a caller can see of a model: weights, configuration, attributes of each layer."""
    return {
        "weights": [weight.tobytes() for weight in network.get_weights()],
        "config": network.to_json(),
        "attributes": [
            (id(layer), type(layer), sorted(vars(layer)), id(layer.call.__func__))
            for layer in network._flatten_layers()
        ],
    }


def softmax(logits):
    """Probabilities in float64."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def assert_extracts(extractor, network, images, head, ends_in_softmax, tolerance=1e-5):
    """Features and head give the logits, and these the model's answers, in float64."""
    outputs = {name: np.asarray(value) for name, value in extractor(images).items()}
    assert {value.dtype.name for value in outputs.values()} == {"float32"}
    twin = outputs["features"].astype("float64") @ head.kernel.astype("float64") + head.bias
    assert np.ptp(twin) > 0.05
    np.testing.assert_allclose(outputs["logits"], twin, rtol=1e-5, atol=1e-5 * np.ptp(twin))
    expected = softmax(twin) if ends_in_softmax else twin
    answers = np.asarray(network(images), "float64")
    np.testing.assert_allclose(answers, expected, rtol=tolerance, atol=tolerance * np.ptp(expected))
    return outputs


def spread(network, images):
    """Gives a network with random weights logits that differ by a few nats."""
    extractor = build_extractor(network)
    head = head_of(extractor)
    features = np.asarray(extractor(images)["features"], "float64")
    scale = 4 / np.ptp(features @ head.kernel)
    layer = head_layer(network)
    layer.kernel.assign(scale * layer.kernel)


def vectors_to(*parts):
    """A functional model from (N, 4) through layers or functions."""
    return functional(*parts, dtype="float32", shape=(4,))


def untouched(network):
    return all("call" not in vars(layer) for layer in network._flatten_layers())
