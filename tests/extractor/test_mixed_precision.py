"""Models that were trained in less than float32: what fits, calibrates and serves is float32."""

import keras
import numpy as np
import pytest
from classifiers import Subclassed, built
from tiny_models import random_images, small_network

from kerasood.detectors import DETECTORS, Energy
from kerasood.extractor.build import attached_extractor, build_extractor, head_of
from kerasood.extractor.precision import in_float32
from kerasood.serving import OODModel
from kerasood.training.trainers import SparsityFineTuning

IMAGES = random_images((8, 8, 3), 9)

MIXED = {
    "graph": lambda: small_network(policy="mixed_bfloat16"),
    "subclassed": lambda: mixed_subclassed(Subclassed),
    "subclassed without a configuration": lambda: mixed_subclassed(WithoutConfiguration),
}

def weight_bytes(network):
    return [weight.tobytes() for weight in network.get_weights()]


class WithoutConfiguration(Subclassed):
    def get_config(self):
        raise NotImplementedError


def mixed_subclassed(kind):
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return built(kind())
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("kind", ["graph", "subclassed"])
@pytest.mark.parametrize("served", ["model", "extractor"])
def test_a_mixed_precision_model_is_scored_as_it_is_served(kind, served):
    model = MIXED[kind]()
    before, policies = weight_bytes(model), [x.dtype_policy.name for x in model._flatten_layers()]
    extractor = build_extractor(model)
    outputs = extractor.predict(IMAGES, verbose=0)
    detector = DETECTORS["nci"]().fit(outputs, None, head_of(extractor))
    scores = np.asarray(detector.score(outputs))
    guarded = OODModel({"model": model, "extractor": extractor}[served], detector, np.max(scores))
    assert guarded.network is extractor or served == "model"
    answered = guarded.predict(IMAGES)
    np.testing.assert_allclose(answered["score"], scores, rtol=1e-5)
    coarse = attached_extractor(model).predict(IMAGES, verbose=0)
    assert np.abs(detector.score(coarse) - scores).max() > 1e-4
    assert weight_bytes(model) == before
    assert [x.dtype_policy.name for x in model._flatten_layers()] == policies


def test_a_mixed_precision_model_that_cannot_be_rebuilt_is_used_as_it_is():
    model = MIXED["subclassed without a configuration"]()
    with pytest.warns(UserWarning, match="'mine' computes in less than float32 and cannot be reb"):
        extractor = build_extractor(model)
    outputs = extractor.predict(IMAGES, verbose=0)
    guarded = OODModel(extractor, Energy(), 0.0)
    np.testing.assert_allclose(guarded.predict(IMAGES)["logits"], outputs["logits"], rtol=1e-5)
    with pytest.warns(UserWarning, match="give the model and its layers a get_config"):
        OODModel(model, Energy(), 0.0)


def test_an_extractor_of_ones_own_in_mixed_precision_is_served_in_float32_with_a_warning():
    own = attached_extractor(small_network(policy="mixed_bfloat16"))
    with pytest.warns(UserWarning, match="calibrate anew by kerasood.recalibrate"):
        guarded = OODModel(own, Energy(), 0.0)
    expected = np.asarray(in_float32(own)(IMAGES)["logits"])
    np.testing.assert_array_equal(guarded(IMAGES)["logits"], expected)
    assert not np.array_equal(np.asarray(own(IMAGES)["logits"]), expected)


@pytest.mark.parametrize("site", ["logits", "features"])
def test_the_network_itself_is_fine_tuned_in_its_own_precision(site):
    network = small_network(policy="mixed_bfloat16")
    before = network.get_weights()
    trainer = SparsityFineTuning(network, 0.01, site)
    trainer.compile(keras.optimizers.SGD(0.01))
    trainer.fit(IMAGES, np.arange(9) % 4, epochs=1, batch_size=9, verbose=0)
    changed = [np.any(x != y) for x, y in zip(before, network.get_weights(), strict=True)]
    assert all(changed[:2]) and all(changed[-2:])
    assert network.layers[2].compute_dtype == "bfloat16"


class Pooling(keras.Model):
    """A model that Keras writes a configuration for, which says nothing of `kind`."""

    def __init__(self, kind="average", **kwargs):
        super().__init__(**kwargs)
        self.kind = kind
        self.convolution = keras.layers.Conv2D(6, 3)
        self.average = keras.layers.GlobalAveragePooling2D()
        self.largest = keras.layers.GlobalMaxPooling2D()
        self.head = keras.layers.Dense(4)

    def call(self, images):
        maps = self.convolution(images / 255)
        return self.head(self.largest(maps) if self.kind == "max" else self.average(maps))


def test_a_copy_that_answers_otherwise_is_not_taken():
    model = mixed_subclassed(lambda: Pooling("max"))
    assert model.get_config()["kind"] == "average"
    with pytest.warns(UserWarning, match="cannot be rebuilt from its configuration"):
        extractor = build_extractor(model)
    ours, theirs = extractor(IMAGES)["logits"], model(IMAGES)
    np.testing.assert_allclose(ours, np.asarray(theirs, "float32"), rtol=0.02, atol=0.02)
    assert in_float32(mixed_subclassed(Pooling)).compute_dtype == "float32"


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_model_with_weights_of_another_type_is_rebuilt(policy, nested):
    model = small_network(policy=policy)
    if nested:
        inputs = keras.Input((8, 8, 3), dtype="uint8")
        model = keras.Model(inputs, keras.layers.Activation("softmax")(model(inputs)))
    extractor = build_extractor(model)
    outputs = extractor.predict(IMAGES, verbose=0)
    assert outputs["logits"].dtype == np.float32
    expected = np.asarray(model(IMAGES), "float32")
    ours = np.asarray(keras.ops.softmax(outputs["logits"])) if nested else outputs["logits"]
    np.testing.assert_allclose(ours, expected, rtol=0.05, atol=0.05 * np.abs(expected).max())


@pytest.mark.parametrize(
    "layer", [lambda: keras.layers.Rescaling(0.5), keras.layers.BatchNormalization]
)
def test_what_is_affine_after_the_head_is_taken_in_mixed_precision_too(layer):
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        logits = layer()(keras.layers.Dense(4)(pooled))
    finally:
        keras.config.set_dtype_policy("float32")
    model = keras.Model(inputs, keras.layers.Softmax(dtype="float32")(logits))
    outputs = build_extractor(model).predict(IMAGES, verbose=0)
    probabilities = np.asarray(keras.ops.softmax(outputs["logits"]))
    np.testing.assert_allclose(probabilities, model(IMAGES), atol=0.01)
