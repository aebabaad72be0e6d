"""The training objectives around networks of every kind, which stay models of their own."""

import keras
import numpy as np
import pytest
from keras import layers
from tiny_models import random_images, small_network

from kerasood.networks.augmentation import RandomCropFlip
from kerasood.networks.wide_resnet import WideResNet
from kerasood.training.optimizers import NesterovSGD
from kerasood.training.trainers import CrossEntropyTraining, SparsityFineTuning

IMAGES = random_images((8, 8, 3))
LABELS = np.arange(12) % 4


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.flatten = layers.Flatten()
        self.head = layers.Dense(4)

    def call(self, images, training=None):
        return self.head(self.flatten(keras.ops.cast(images, "float32") / 255))


def sequential(*last, **arguments):
    return keras.Sequential(
        [layers.Rescaling(1 / 255), layers.Flatten(), *last, layers.Dense(4, **arguments)]
    )


def built_sequential(*last, **arguments):
    network = sequential(*last, **arguments)
    network.build((None, 8, 8, 3))
    return network


def built_subclassed():
    network = Subclassed()
    network(IMAGES)
    return network


def fully_convolutional():
    images = keras.Input((8, 8, 3), dtype="uint8")
    maps = layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(images))
    return keras.Model(images, layers.GlobalAveragePooling2D()(maps))


NETWORKS = {
    "wide_resnet": lambda: WideResNet(10, 1, 4, image_size=8),
    "functional": small_network,
    "sequential": built_sequential,
    "unbuilt sequential": sequential,
    "subclassed": built_subclassed,
    "unbuilt subclassed": Subclassed,
    "fully convolutional": fully_convolutional,
}
DENSE_HEADS = ("wide_resnet", "functional", "sequential", "subclassed")


def compiled(trainer, how="eager"):
    trainer.compile(NesterovSGD(0.01), run_eagerly=how == "eager", jit_compile=how == "xla")
    return trainer


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(0)


@pytest.mark.parametrize(
    ("name", "site"),
    [(name, "logits") for name in NETWORKS] + [(name, "features") for name in DENSE_HEADS],
)
def test_any_network_that_returns_logits_can_be_trained(name, site):
    network = NETWORKS[name]()
    trainer = compiled(SparsityFineTuning(network, weight=0.25, site=site))
    trainer(IMAGES[:1])
    before = [weight.copy() for weight in network.get_weights()]
    history = trainer.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS), verbose=0).history
    (loss,), (ce,), (l1,) = history["loss"], history["ce"], history["l1"]
    assert ce > 0 and l1 > 0
    assert loss == pytest.approx(ce + 0.25 * l1, rel=1e-5)
    for weight, old in zip(network.get_weights(), before, strict=True):
        assert np.any(weight != old)
    logits = np.asarray(network(IMAGES), "float64")
    picked = logits[np.arange(12), LABELS]
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - picked)
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["wide_resnet", "functional", "sequential"])
@pytest.mark.parametrize("site", ["logits", "features"])
def test_the_network_keeps_its_structure_and_its_weights_until_it_is_trained(name, site):
    network = NETWORKS[name]()
    config, weights = network.get_config(), [weight.copy() for weight in network.get_weights()]
    layers_before, training_weights = list(network.layers), network.trainable_weights
    trainer = compiled(SparsityFineTuning(network, site=site))
    trainer.evaluate(IMAGES, LABELS, verbose=0)
    assert network.get_config() == config
    assert network.layers == layers_before
    assert [id(w) for w in trainer.trainable_weights] == [id(w) for w in training_weights]
    for weight, expected in zip(network.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_frozen_layer_stays_as_it_is():
    network = small_network()
    frozen = next(layer for layer in network.layers if isinstance(layer, layers.Conv2D))
    frozen.trainable = False
    kernel, head = np.array(frozen.kernel), np.array(network.layers[-1].kernel)
    compiled(SparsityFineTuning(network)).fit(IMAGES, LABELS, verbose=0)
    np.testing.assert_array_equal(frozen.kernel, kernel)
    assert np.any(np.asarray(network.layers[-1].kernel) != head)


class Negative(layers.Layer):
    """A stand-in for augmentation whose effect can be computed."""

    def call(self, images, training=None):
        return 255 - images if training else images


def test_augmentation_acts_in_training_only():
    network = built_sequential()
    unaugmented = compiled(CrossEntropyTraining(network))
    on_negatives = unaugmented.evaluate(255 - IMAGES, LABELS, verbose=0, return_dict=True)
    on_images = unaugmented.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    assert abs(on_negatives["ce"] - on_images["ce"]) > 0.01
    trainer = compiled(CrossEntropyTraining(network, Negative()))
    assert trainer.evaluate(IMAGES, LABELS, verbose=0, return_dict=True) == pytest.approx(on_images)
    trainer.reset_metrics()  # Keras 3.12 goes on with the mean of what was measured before.
    logged = trainer.train_on_batch(IMAGES, LABELS, return_dict=True)
    assert float(logged["ce"]) == pytest.approx(on_negatives["ce"], rel=1e-5)


def test_random_crops_train_in_mixed_precision_under_xla():
    policy = keras.dtype_policies.get("mixed_bfloat16")
    network = built_sequential(layers.Dense(5, activation="relu", dtype=policy), dtype="float32")
    trainer = SparsityFineTuning(network, 0.25, "features", RandomCropFlip(1, seed=0))
    logged = compiled(trainer, how="xla").fit(IMAGES, LABELS, epochs=2, verbose=0).history
    for loss, ce, l1 in zip(logged["loss"], logged["ce"], logged["l1"], strict=True):
        assert ce > 0 and l1 > 0
        assert loss == pytest.approx(ce + 0.25 * l1, rel=1e-5)
    assert {keras.backend.standardize_dtype(w.dtype) for w in network.weights} == {"float32"}


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (Subclassed, "model='mine' of class Subclassed"),
        (sequential, "of class Sequential"),
        (fully_convolutional, "of class Conv2D"),
    ],
    ids=["subclassed", "unbuilt", "no dense head"],
)
def test_features_of_an_unbuilt_network_or_one_without_a_linear_head_are_refused(make, received):
    with pytest.raises(ValueError, match=f"Expected .* Received: .*{received}"):
        SparsityFineTuning(make(), site="features")


@pytest.mark.parametrize("objective", [CrossEntropyTraining, SparsityFineTuning])
def test_a_network_that_returns_independent_probabilities_is_refused(objective):
    network = built_sequential(activation="sigmoid")
    with pytest.raises(ValueError, match="a model that returns logits .*activation='sigmoid'"):
        objective(network)


@pytest.mark.parametrize("site", ["logits", "features"])
def test_a_softmax_network_is_trained_on_its_logits(site):
    plain, softmax = (built_sequential(activation=kind) for kind in (None, "softmax"))
    softmax.set_weights(plain.get_weights())
    for network in (plain, softmax):
        trainer = compiled(SparsityFineTuning(network, weight=0.25, site=site))
        trainer.fit(IMAGES, LABELS, verbose=0, shuffle=False)
    for ours, theirs in zip(softmax.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.sum(softmax(IMAGES), axis=1), 1, rtol=1e-5)
