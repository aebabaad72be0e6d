import copy

import keras
import numpy as np
import pytest
from tiny_models import DETECTORS_FOR_ANY, answers, constant_network, random_images, small_network

from kerasood.detectors import DETECTORS, MSP, Detector, Energy, MaxLogit
from kerasood.evaluation.outputs import collect
from kerasood.extractor.build import build_extractor, head_of
from kerasood.networks.wide_resnet import WideResNet
from kerasood.serving import OODModel

KEYS = {"logits", "probabilities", "energy", "score", "is_ood"}


@pytest.fixture(scope="module")
def images():
    return random_images((8, 8, 3), 9)


@pytest.fixture(scope="module")
def network():
    return small_network()


def weight_bytes(network):
    return [weight.tobytes() for weight in network.get_weights()]


def test_outputs_worked_by_hand():
    zeros = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    network = constant_network([0.0, np.log(3.0)])
    outputs = answers(OODModel(network, MSP(), threshold=-0.8), zeros)
    np.testing.assert_allclose(outputs["probabilities"], [[0.25, 0.75]] * 2, rtol=1e-6)
    np.testing.assert_allclose(outputs["energy"], [-np.log(4.0)] * 2, rtol=1e-6)
    np.testing.assert_allclose(outputs["score"], [-0.75, -0.75], rtol=1e-6)
    assert outputs["is_ood"].tolist() == [True, True]
    confident = OODModel(network, MSP(), threshold=-0.7)
    assert answers(confident, zeros)["is_ood"].tolist() == [False, False]


def test_a_score_equal_to_the_threshold_is_not_ood(network, images):
    scores = answers(OODModel(network, Energy(), 0.0), images)["score"]
    middle = np.argsort(scores)[4]
    outputs = answers(OODModel(network, Energy(), scores[middle]), images)
    np.testing.assert_array_equal(outputs["is_ood"], scores > scores[middle])
    assert not outputs["is_ood"][middle]
    assert outputs["is_ood"].sum() == 4


@pytest.mark.parametrize("name", ["msp", "max_logit", "energy"])
def test_outputs_are_named_typed_and_equal_a_float64_twin(network, images, name):
    outputs = answers(OODModel(network, DETECTORS[name](), -1.0), images)
    assert outputs.keys() == KEYS
    assert {key: (value.dtype.name, value.shape) for key, value in outputs.items()} == {
        "logits": ("float32", (9, 4)),
        "probabilities": ("float32", (9, 4)),
        "energy": ("float32", (9,)),
        "score": ("float32", (9,)),
        "is_ood": ("bool", (9,)),
    }
    logits = np.asarray(network(images)).astype("float64")
    assert np.ptp(logits.max(axis=-1)) > 0.5
    exponentials = np.exp(logits)
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    energy = -np.log(exponentials.sum(axis=-1))
    scores = {"msp": -probabilities.max(-1), "max_logit": -logits.max(-1), "energy": energy}
    np.testing.assert_allclose(outputs["probabilities"], probabilities, atol=1e-6)
    np.testing.assert_allclose(outputs["energy"], energy, rtol=1e-5)
    np.testing.assert_allclose(outputs["score"], scores[name], rtol=1e-5)
    np.testing.assert_array_equal(outputs["is_ood"], outputs["score"] > -1.0)


def test_energy_output_keeps_temperature_one(network, images):
    outputs = answers(OODModel(network, Energy(temperature=100.0), 0.0), images)
    logits = np.asarray(network(images)).astype("float64")
    np.testing.assert_allclose(outputs["energy"], -np.log(np.exp(logits).sum(-1)), rtol=1e-5)
    assert np.all(outputs["score"] < outputs["energy"] - 100)


def test_the_network_stays_as_it_is(network, images):
    before, config = weight_bytes(network), network.get_config()
    model = OODModel(network, Energy(), 0.0)
    model.predict(images)
    assert weight_bytes(network) == before
    assert network.get_config() == config
    assert model.network.layers[-1] is network.layers[-1]


def test_network_and_extractor_answer_alike(network, images):
    from_network = answers(OODModel(network, Energy(), 0.0), images)
    from_extractor = answers(OODModel(build_extractor(network), Energy(), 0.0), images)
    for name in KEYS:
        np.testing.assert_array_equal(from_network[name], from_extractor[name])


def test_a_later_refit_does_not_reach_the_model(network, images):
    detector = Energy()
    model = OODModel(network, detector, 0.0)
    before = answers(model, images)["score"]
    detector.set_params(temperature=50.0)
    np.testing.assert_array_equal(answers(model, images)["score"], before)


@pytest.mark.parametrize(
    "detector", [MSP(), MaxLogit(), Energy(temperature=2.0)], ids=lambda d: type(d).__name__
)
def test_saved_in_safe_mode_and_read_back(network, images, detector, tmp_path):
    model = OODModel(network, detector, np.float32(-1.1))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded) is OODModel
    assert type(loaded.detector) is type(detector)
    assert loaded.detector.get_params() == detector.get_params()
    assert loaded.threshold == float(np.float32(-1.1))
    expected, received = answers(model, images), answers(loaded, images)
    for name in KEYS:
        np.testing.assert_array_equal(expected[name], received[name])


def test_wide_resnet_survives_the_round_trip(tmp_path):
    images = random_images((32, 32, 3), 3)
    model = OODModel(WideResNet(10, 1, 10, 0.3), Energy(), -2.0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    expected, received = (answers(each, images)["logits"] for each in (model, loaded))
    np.testing.assert_array_equal(received, expected)


class Centred(Detector):
    """Energy above its mean over the training images: a detector with something to fit."""

    learns = True

    def _fit(self, outputs, labels, head):
        self._keep(mean_=np.mean(Energy().score(outputs)))

    def _score(self, outputs):
        return Energy().score(outputs) - self.mean_


def test_what_a_detector_learned_is_saved(network, images, tmp_path, monkeypatch):
    monkeypatch.setitem(DETECTORS, "centred", Centred)
    detector = Centred().fit({"logits": network(images)})
    model = OODModel(network, detector, 0.0)
    scores = answers(model, images)["score"]
    np.testing.assert_allclose(scores.mean(), 0.0, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(answers(loaded, images)["score"], scores)


@pytest.fixture(scope="module")
def fitted_detectors(network):
    """Every detector of the table, fitted to the network; also with a step on the image."""
    training, labels = random_images((8, 8, 3), 40), np.arange(40) % 4
    outputs = collect(build_extractor(network), [training])
    head = head_of(build_extractor(network))
    detectors = {
        name: kind().fit(outputs, labels, head)
        for name, kind in DETECTORS_FOR_ANY.items()
    }
    steps = {
        f"{name} with a step": copy.copy(detector).set_params(magnitude=0.01)
        for name, detector in detectors.items()
        if "magnitude" in detector.get_params()
    }
    return detectors | steps


def test_every_detector_answers_inside_the_model_as_outside(network, images, fitted_detectors):
    outputs = collect(build_extractor(network), [images])
    for name, detector in fitted_detectors.items():
        scores = answers(OODModel(network, detector, 0.0), images)["score"]
        expected = np.asarray(detector.score(outputs))
        if detector.input_step:
            assert np.abs(scores - expected).max() > 1e-5, name
        else:
            np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5, err_msg=name)


def test_every_detector_is_saved_inside_the_model(network, images, fitted_detectors, tmp_path):
    for name, detector in fitted_detectors.items():
        model = OODModel(network, detector, 0.0)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        np.testing.assert_array_equal(
            answers(loaded, images)["score"], answers(model, images)["score"], err_msg=name
        )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_networks_answer_in_float32(policy, images):
    network = small_network(policy=policy)
    before = weight_bytes(network)
    model = OODModel(network, Energy(), 0.0)
    outputs = answers(model, images)
    twin = small_network()
    twin.set_weights(network.get_weights())
    expected = answers(OODModel(twin, Energy(), 0.0), images)
    assert outputs["logits"].dtype == np.float32
    assert not np.array_equal(np.asarray(network(images)), expected["logits"])
    for name in KEYS:
        np.testing.assert_array_equal(outputs[name], expected[name])
    assert weight_bytes(network) == before
    assert network.layers[2].compute_dtype == policy.removeprefix("mixed_")


def test_networks_on_floats_get_uint8_images_too(images):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    network = keras.Model(inputs, keras.layers.Dense(3)(x))
    outputs = answers(OODModel(network, Energy(), 0.0), images)
    expected = np.asarray(network(images.astype("float32")))
    np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-6)


def test_predict_equals_the_eager_call_for_any_number_of_images(network, images):
    model = OODModel(network, Energy(), -1.0)
    expected = answers(model, images)
    for num_images in (0, 1, 7):
        outputs = model.predict(images[:num_images], batch_size=4)
        assert outputs.keys() == KEYS
        for name, output in outputs.items():
            assert output.shape == (num_images, *expected[name].shape[1:])
            assert output.dtype == expected[name].dtype
            np.testing.assert_allclose(
                output.astype("float32"), expected[name][:num_images], rtol=1e-5
            )


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda x: x / np.float32(255), "uint8.*dtype=float32 with values from 0 to 0.99"),
        (lambda x: x.astype("int64"), "uint8.*dtype=int64 with values from 0 to 25[0-9]"),
        (lambda x: x[0], r"\(N, 8, 8, 3\). Received: shape=\(8, 8, 3\)"),
        (lambda x: x[:, :7], r"\(N, 8, 8, 3\). Received: shape=\(9, 7, 8, 3\)"),
        (lambda x: x[..., :1], r"\(N, 8, 8, 3\). Received: shape=\(9, 8, 8, 1\)"),
        (lambda x: x.transpose(0, 3, 1, 2), r"Received: shape=\(9, 3, 8, 8\)"),
        (lambda x: x.astype("U3"), "uint8.*dtype=<U3"),
        (lambda x: np.zeros((0, 8, 8, 3)), "uint8.*dtype=float64"),
    ],
)
def test_predict_refuses_other_images(network, images, convert, message):
    model = OODModel(network, Energy(), 0.0)
    with pytest.raises(ValueError, match=message):
        model.predict(convert(images))
    assert len(model.predict(images)["score"]) == len(images)


def test_the_call_itself_refuses_floats_and_other_sizes(network, images):
    model = OODModel(network, Energy(), 0.0)
    with pytest.raises(ValueError, match="dtype uint8, pixels 0-255. Received: dtype=float32"):
        model(images / np.float32(255))
    with pytest.raises(ValueError, match=r"shape=\(9, 7, 8, 3\)"):
        model(images[:, :7])


@pytest.mark.parametrize("threshold", [np.nan, np.inf, -np.inf, 1e39])
def test_a_threshold_that_decides_nothing_is_refused(network, threshold):
    with pytest.raises(ValueError, match="finite threshold. Received: threshold="):
        OODModel(network, Energy(), threshold)


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        (DETECTORS["vim"](), "not fitted"),
        (DETECTORS["vim"], "Expected a fitted Detector. Received: detector=<class"),
        (DETECTORS["mcd"](), "an extractor that gives logits_2 too, for MCD"),
        (DETECTORS["multi_layer_mahalanobis"](), "gives hidden/... too, .*Received: features, log"),
        (
            DETECTORS["knn"](k=1).fit({"features": np.eye(5, dtype="float32")}),
            r"features of shape \(N, 5\), on which KNN was fitted. Received: shape=\(None, ",
        ),
    ],
)
def test_a_detector_that_cannot_answer_is_refused_at_once(network, detector, message):
    with pytest.raises(ValueError, match=message):
        OODModel(network, detector, 0.0)


def test_a_single_logit_is_that_of_the_second_class():
    model = OODModel(constant_network([np.log(3.0)]), Energy(), 0.0)
    outputs = answers(model, np.zeros((1, 8, 8, 3), "uint8"))
    np.testing.assert_allclose(outputs["logits"], [[0, np.log(3.0)]], rtol=1e-6)
    np.testing.assert_allclose(outputs["probabilities"], [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(outputs["energy"], [-np.log(4.0)], rtol=1e-6)


def test_networks_that_are_no_image_classifier_are_refused():
    vectors = keras.Input((5,))
    with pytest.raises(ValueError, match=r"\(N, H, W, 3\). Received: shape=\(None, 5\)"):
        OODModel(keras.Model(vectors, keras.layers.Dense(2)(vectors)), Energy(), 0.0)
    images = keras.Input((8, 8, 3))
    features = keras.layers.Flatten()(images)
    with pytest.raises(ValueError, match="output 'logits'. Received: outputs=.'features', 'hi"):
        OODModel(keras.Model(images, {"features": features, "hidden/a": features}), Energy(), 0.0)
