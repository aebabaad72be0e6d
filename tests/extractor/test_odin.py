"""ODIN and the Mahalanobis input step against gradients worked by hand in float64."""

import keras
import linear_network
import numpy as np
import pytest

from kerasood.detectors import MSP, ODIN, Mahalanobis
from kerasood.evaluation.outputs import collect
from kerasood.extractor.build import build_extractor
from kerasood.extractor.input_gradient import InputSign, SteppedExtractor

IMAGES = linear_network.images()


@pytest.fixture(scope="module")
def extractor():
    return linear_network.extractor()


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def stepped_scores(extractor, detector, images=IMAGES):
    stepped = SteppedExtractor(extractor, detector.input_loss, detector.input_step)
    return np.asarray(detector.score(collect(stepped, [images])))


@pytest.mark.parametrize("temperature", [1.0, 10.0, 1000.0])
@pytest.mark.parametrize("magnitude", [0.0014, 0.01, 0.1])
def test_odin_equals_a_hand_derived_gradient(extractor, temperature, magnitude):
    pixels = IMAGES.astype("float64")
    _, logits = linear_network.forward(pixels)
    predicted = np.eye(4)[logits.argmax(axis=1)]
    # d CE(softmax(z / T), predicted) / dz = (softmax(z / T) - predicted) / T.
    of_logits = (softmax(logits / temperature) - predicted) / temperature
    moved = linear_network.reference_step(pixels, of_logits @ linear_network.KERNEL.T, magnitude)
    expected = -softmax(linear_network.forward(moved)[1] / temperature).max(axis=1)
    scores = stepped_scores(extractor, ODIN(temperature, magnitude))
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    plain = -softmax(logits / temperature).max(axis=1)
    # At a high temperature all scores are close to -1/4: judge what is left of the difference.
    spread = np.std(plain)
    assert np.abs(expected - plain).max() > 1e-3 * spread
    np.testing.assert_allclose(scores - plain, expected - plain, atol=0.02 * spread)


def test_odin_raises_the_confidence_of_every_image(extractor):
    plain = np.asarray(MSP().score(collect(extractor, [IMAGES])))
    assert np.all(stepped_scores(extractor, ODIN(1.0, 0.001)) <= plain)


def test_without_a_step_odin_is_msp_at_its_temperature_exactly(extractor):
    outputs = collect(extractor, [IMAGES])
    detector = ODIN(temperature=1.0, magnitude=0.0)
    assert not detector.input_step
    np.testing.assert_allclose(detector.score(outputs), MSP().score(outputs), rtol=1e-6)
    zero = SteppedExtractor(extractor, detector.input_loss, 0.0)
    for name, values in collect(zero, [IMAGES]).items():
        np.testing.assert_array_equal(values, outputs[name])


def test_the_mahalanobis_step_equals_a_hand_derived_gradient(extractor):
    training = linear_network.images(80, seed=1)
    features, logits = linear_network.forward(training.astype("float64"))
    labels = logits.argmax(axis=1)
    outputs = {"features": features.astype("float32"), "logits": logits.astype("float32")}
    detector = Mahalanobis(magnitude=0.02).fit(outputs, labels)
    means = np.stack([features[labels == k].mean(axis=0) for k in range(4)])
    centred = features - means[labels]
    precision = np.linalg.inv(centred.T @ centred / len(centred))

    def distances(features):
        offsets = features[:, None] - means
        return 0.5 * np.einsum("nkd,de,nke->nk", offsets, precision, offsets)

    pixels = IMAGES.astype("float64")
    plain_features, _ = linear_network.forward(pixels)
    nearest = distances(plain_features).argmin(axis=1)
    of_features = (plain_features - means[nearest]) @ precision
    moved = linear_network.reference_step(pixels, of_features, 0.02)
    expected = distances(linear_network.forward(moved)[0]).min(axis=1)
    np.testing.assert_allclose(stepped_scores(extractor, detector), expected, rtol=1e-3)
    assert np.abs(expected / distances(plain_features).min(axis=1) - 1).max() > 0.05


def test_a_gradient_of_zero_counts_as_positive(extractor):
    flat = InputSign(extractor, lambda outputs: 0.0 * outputs["logits"][:, 0])
    np.testing.assert_array_equal(flat.predict_on_batch(IMAGES), np.ones(IMAGES.shape))


def test_networks_on_floats_step_alike(extractor):
    floats = linear_network.extractor("float32")
    detector = ODIN(10.0, 0.02)
    np.testing.assert_allclose(
        stepped_scores(floats, detector), stepped_scores(extractor, detector), rtol=1e-6
    )


def test_an_image_steps_alike_alone_and_in_any_batch(extractor):
    detector = ODIN(10.0, 0.02)
    together = stepped_scores(extractor, detector)
    alone = [stepped_scores(extractor, detector, IMAGES[i : i + 1])[0] for i in range(4)]
    np.testing.assert_allclose(alone, together[:4], rtol=1e-6)


def test_dropout_and_batch_statistics_play_no_part(extractor):
    images = keras.Input((3, 3, 3), dtype="uint8")
    x = keras.layers.Flatten()(linear_network.Scale()(images))
    x = keras.layers.BatchNormalization()(keras.layers.Dropout(0.5)(x))
    network = build_extractor(keras.Model(images, keras.layers.Dense(4)(x)))
    weights = [weight.copy() for weight in network.get_weights()]
    first, second = (stepped_scores(network, ODIN(1.0, 0.01)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    for before, after in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("make", [lambda m: ODIN(magnitude=m), lambda m: Mahalanobis(m)])
def test_a_negative_step_is_refused(make):
    with pytest.raises(ValueError, match="magnitude >= 0. Received: magnitude=-0.1"):
        _ = make(-0.1).input_step


def test_odin_worked_by_hand():
    # softmax of (0, log 3 / 2, 0) at temperature 1/2 is 1/5, 3/5, 1/5.
    outputs = {"logits": np.array([[0.0, np.log(3) / 2, 0.0]], "float32")}
    np.testing.assert_allclose(ODIN(0.5, 0.0).score(outputs), [-0.6], rtol=1e-6)
    np.testing.assert_allclose(ODIN(0.5).input_loss(outputs), [-np.log(0.6)], rtol=1e-6)
