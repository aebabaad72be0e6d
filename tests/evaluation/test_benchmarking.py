"""kerasood.benchmark: any Keras model, any images, one call."""

import pathlib

import keras
import numpy as np
import pytest
from classifiers import softmax
from PIL import Image
from tiny_data import write_npz
from tiny_models import random_images, small_network

import kerasood
from kerasood import reporting
from kerasood.detectors import Energy
from kerasood.evaluation.results import Results
from kerasood.metrics import all_metrics
from kerasood.networks.decomposed_head import DeconfHead

IMAGES, LABELS = random_images((8, 8, 3), 60), np.arange(60) % 4
IN_DATA = {"train": (IMAGES[::-1] // 2, LABELS), "test": (IMAGES, LABELS)}
OOD_SETS = {"dark": IMAGES[:30] // 3, "noise": random_images((8, 8, 3), 20)}
DETECTORS = ["energy", "mahalanobis", "react+msp"]


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return IMAGES[20 * index : 20 * index + 20]


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def measured(network):
    return kerasood.benchmark(
        network, IN_DATA, OOD_SETS, DETECTORS, tpr=0.8, tune=False, batch_size=30
    )


def test_every_detector_is_measured_on_every_set(measured):
    entries = {(m["model"], m["detector"], m["set"]) for m in measured.results.metrics}
    assert entries == {("model", d, s) for d in DETECTORS for s in OOD_SETS}
    for entry in measured.results.metrics:
        scores_in, scores_out = (
            measured.scores["model", entry["detector"], name] for name in ("in", entry["set"])
        )
        assert len(scores_in) == 60 and len(scores_out) == len(OOD_SETS[entry["set"]])
        expected = all_metrics(scores_in, scores_out)
        assert {name: entry[name]["mean"] for name in expected} == expected


def test_scores_are_those_of_the_detector_that_was_fitted(measured, network):
    extractor = kerasood.build_extractor(network)
    detector = measured.detectors["model"]["mahalanobis"]
    train = extractor.predict(IN_DATA["train"][0], verbose=0)
    expected = kerasood.detectors.Mahalanobis().fit(train, LABELS)
    test = extractor.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(detector.score(test), expected.score(test), rtol=1e-4)


def test_the_table_and_the_report_say_it(measured, tmp_path):
    text = measured.table()
    assert "OOD detection on your images" in text
    assert all(name in text for name in (*DETECTORS, *OOD_SETS))
    page = measured.report(tmp_path)
    assert page.exists() and (tmp_path / "report.md").read_text() == text
    assert measured._repr_markdown_() == text


def test_the_summary_is_sorted_by_fpr95(measured):
    rows = measured.summary()
    assert [row["detector"] for row in rows] != []
    assert {row["detector"] for row in rows} == set(DETECTORS)
    assert [row["fpr95"] for row in rows] == sorted(row["fpr95"] for row in rows)


def test_several_models_side_by_side(network):
    other = small_network()
    other.layers[-1].kernel.assign(-other.layers[-1].kernel)
    result = kerasood.benchmark(
        {"a": network, "b": other}, {"test": (IMAGES, LABELS)}, OOD_SETS, ["energy"], tpr=0.8
    )
    assert [model["key"] for model in result.results.models] == ["a", "b"]
    assert np.abs(result.scores["a", "energy", "in"] - result.scores["b", "energy", "in"]).max() > 1


def test_own_images_under_a_registered_name_stay_own(network):
    found = kerasood.benchmark(network, IN_DATA, {"cifar100": IMAGES}, ["energy"], tpr=0.8)
    (entry,) = found.results.sets
    assert (entry["title"], entry["role"], entry["published_images"]) == ("cifar100", "far", None)
    assert entry["note"] == "the user's own images, not CIFAR-100"


def test_the_models_stay_as_they_are(network):
    weights = [weight.copy() for weight in network.get_weights()]
    config = network.to_json()
    kerasood.benchmark(network, IN_DATA, OOD_SETS, ["vim"], tpr=0.8, tune=False)
    assert network.to_json() == config
    for before, after in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_softmax_and_subclassed_models():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = keras.layers.Dense(4, activation="softmax")

        def call(self, images):
            pixels = keras.ops.cast(images, "float32") / 255.0
            return self.head(keras.ops.mean(pixels, axis=(1, 2)))

    model = Own()
    model(IMAGES)
    result = kerasood.benchmark(
        model, {"test": (IMAGES, LABELS), "calibration": IMAGES[::2]}, OOD_SETS, ["energy"], tpr=0.8
    )
    pixels = IMAGES.astype("float64").mean(axis=(1, 2)) / 255
    logits = pixels @ np.asarray(model.head.kernel) + np.asarray(model.head.bias)
    expected = -np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(result.scores["model", "energy", "in"], expected, rtol=1e-4)
    (threshold,) = result.results.thresholds
    assert threshold["calibrated_on"] == "30 images kept out of training"


@pytest.mark.parametrize("tune", [False, True])
def test_all_leaves_out_what_needs_training_images(network, caplog, tune):
    result = kerasood.benchmark(
        network, {"test": (IMAGES, LABELS)}, {"dark": OOD_SETS["dark"]}, tpr=0.8, tune=tune
    )
    used, choosing = set(result.results.detectors), {"odin", "gen"}
    assert used >= {"msp", "energy"}
    assert used >= choosing
    assert not used & {"mahalanobis", "vim", "react", "mcd", "reject"}
    assert "left out, since training images are not at hand" in caplog.text
    (model,) = result.results.models
    assert bool(model["choices"]) == tune
    assert result.results.dataset["num_images"] == (53 if tune else 60)


def test_names_of_data_sets_and_files(tmp_path, empty_places):
    path = pathlib.Path(write_npz(tmp_path / "mine.npz", num_images=40))
    images = keras.Input((32, 32, 3), dtype="uint8")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    network = keras.Model(images, keras.layers.Dense(2)(pooled))
    result = kerasood.benchmark(
        network, path, ["blobs"], ["energy", "mahalanobis"], tpr=0.8, tune=False, download=False
    )
    assert result.results.dataset["num_images"] == 40
    assert [entry["name"] for entry in result.results.sets] == ["blobs"]


def test_detectors_with_parameters_of_ones_own_keep_them(network):
    own = {"near": kerasood.detectors.KNN(k=3), "far": kerasood.detectors.KNN(k=40)}
    result = kerasood.benchmark(network, IN_DATA, OOD_SETS, own, tpr=0.8)
    fitted = result.detectors["model"]
    assert {name: detector.k for name, detector in fitted.items()} == {"near": 3, "far": 40}
    assert np.all(result.scores["model", "near", "in"] < result.scores["model", "far", "in"])
    assert vars(own["near"]) == own["near"].get_params()


def test_one_name_and_labels_as_keras_datasets_have_them(network):
    column = {name: [images, labels[:, None]] for name, (images, labels) in IN_DATA.items()}
    result = kerasood.benchmark(network, column, OOD_SETS, "mahalanobis", tpr=0.8, tune=False)
    expected = kerasood.benchmark(
        network, IN_DATA, OOD_SETS, ["mahalanobis"], tpr=0.8, tune=False
    )
    assert result.results.detectors == ["mahalanobis"]
    for key, scores in expected.scores.items():
        np.testing.assert_array_equal(result.scores[key], scores)


def test_networks_that_some_detectors_are_made_for(tmp_path):
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3), dtype="uint8")
    features = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    outputs = DeconfHead(4, "inner")(features)
    second = keras.layers.Dense(4)(features)
    network = keras.Model(images, {"features": features, "logits_2": second, **outputs})
    result = kerasood.benchmark(
        network, IN_DATA, OOD_SETS, ["g_odin", "mcd", "knn"], tpr=0.8, validation_images=8
    )
    tested = np.setdiff1d(np.arange(60), np.linspace(0, 59, 7).astype(int))
    answers = network.predict(IMAGES[tested], verbose=0)
    first, second = (softmax(answers[name]) for name in ("logits", "logits_2"))
    np.testing.assert_allclose(
        result.scores["model", "mcd", "in"], np.abs(first - second).sum(axis=1), rtol=1e-4
    )
    chosen = result.results.models[0]["choices"]["g_odin"]["chosen"]
    assert chosen.keys() == {"scored", "magnitude"}
    assert f"scored = {chosen['scored']}" in result.table()
    assert result.report(tmp_path).exists()
    with pytest.raises(ValueError, match="whose head cannot be read"):
        kerasood.benchmark(network, IN_DATA, OOD_SETS, "vim", tpr=0.8, tune=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"detectors": []}, "names of detectors, at least one.*Received: none"),
        ({"detectors": [kerasood.detectors.KNN()]}, r"or \{name: Detector\}. Received: KNN\(\)"),
        ({"detectors": {"knn": "knn"}}, "Expected a Detector for 'knn'. Received: 'knn'"),
        ({"in_data": 5}, r"images \(N, H, W, 3\).*for 'test'. Received: shape=\(\)"),
        ({"ood_sets": IMAGES}, r"or \{name: images\}. Received: ndarray of shape=\(60, 8, 8, 3"),
        ({"ood_sets": [IMAGES, IMAGES]}, r"or \{name: images\}. Received: list"),
        ({"ood_sets": Batches()}, r"or \{name: images\}. Received: Batches"),
        ({"ood_sets": None}, "names or paths of OOD sets.* Received: NoneType"),
        ({"ood_sets": {"grey": IMAGES[..., :1]}}, r"\(8, 8, 3\).*shape=\(8, 8, 1\) in 'grey'"),
        ({"ood_sets": {"x": IMAGES[:, :4]}}, r"\(8, 8, 3\).*shape=\(4, 8, 3\) in 'x'"),
        ({"model": "resnet"}, "Expected a keras.Model. Received: str for 'model'"),
        ({"in_data": {"train": (IMAGES, LABELS)}}, 'Expected images "test".*Received: train'),
        ({"in_data": {"test": IMAGES}}, r"Expected \(images, labels\) for 'test'"),
        ({"in_data": {"test": (IMAGES / 255.0, LABELS)}}, "uint8 images.*dtype=float64"),
        ({"in_data": {"test": (IMAGES, LABELS[:5])}}, "one integer label per image, shape .60"),
        (
            {"in_data": {"test": (IMAGES[:3], LABELS[:3])}, "detectors": "gen"},
            "at least 4 test images, .* also choose parameters, .* Received: 3 in 'test'",
        ),
        ({"in_data": {"test": (IMAGES[:1], LABELS[:1])}}, "at least 2 test.* Received: 1 in"),
        (
            {"in_data": {**IN_DATA, "calibration": IMAGES[:2]}, "detectors": "gen"},
            "at least 3 images for calibration",
        ),
        ({"ood_sets": {}}, "Expected OOD sets that are at hand"),
        ({"ood_sets": {"in": IMAGES}}, "none named in, train"),
        ({"ood_sets": {"train": IMAGES}}, "none named in, train"),
        ({"ood_sets": {1: IMAGES}}, "Expected a str to name each OOD set. Received: 1"),
        ({"model": {}}, "Expected a keras.Model, or {label: keras.Model}. Received: {}"),
        ({"model": {1: None}}, "Expected a str to name each model. Received: 1"),
        ({"detectors": {1: Energy()}}, "Expected a str to name each detector. Received: 1"),
        ({"detectors": Energy()}, r"names of detectors, .* or {name: Detector}.*: Energy\(\)"),
        ({"detectors": None}, "names of detectors, .* Received: None"),
        ({"expected_accuracy": "0.9"}, r"expected_accuracy in \[0, 1\]. Received: .*='0.9'"),
        ({"validation_images": 1.5}, "validation_images >= 1, a whole number. Received: .*=1.5"),
        ({"batch_size": 2.5}, "batch_size >= 1, a whole number. Received: batch_size=2.5"),
        ({"detectors": ["enrgy"]}, "Did you mean 'energy'"),
        ({"batchsize": 3}, "Did you mean 'batch_size'"),
    ],
)
def test_what_does_not_fit_is_said(network, arguments, message):
    given = {"model": network, "in_data": IN_DATA, "ood_sets": OOD_SETS, "detectors": ["energy"]}
    with pytest.raises(ValueError, match=message):
        kerasood.benchmark(**{**given, **arguments})


def test_classes_that_are_not_those_of_the_model(network, tmp_path):
    """A folder that lacks a class would shift all labels after it."""
    def folders(*names):
        for name in names:
            for number in range(10):
                path = tmp_path / "-".join(names) / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(IMAGES[number]).save(path)
        return tmp_path / "-".join(names)

    with pytest.raises(ValueError, match="the 4 classes of model.*Received: 3 classes .a, b, d"):
        kerasood.benchmark(network, folders("a", "b", "d"), OOD_SETS, "energy", tune=False)
    whole = folders("a", "b", "c", "d")
    kerasood.benchmark(network, whole, OOD_SETS, "energy", tune=False, tpr=0.5)
    shifted = {"test": (IMAGES, LABELS + 1)}
    with pytest.raises(ValueError, match="labels from 0 to 3 in 'test'.*Received: a label 4"):
        kerasood.benchmark(network, shifted, OOD_SETS, "energy", tune=False)


def test_the_package_shows_what_one_needs():
    for name in dir(kerasood):
        assert getattr(kerasood, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'bench'"):
        _ = kerasood.bench


def test_names_keep_their_signs_in_every_file(network, tmp_path):
    sets = {"a=b": OOD_SETS["dark"], "c/d, e": OOD_SETS["noise"]}
    found = kerasood.benchmark(
        {"mine/v=2": network}, IN_DATA, sets, ["energy", "msp"], tpr=0.8, tune=False
    )
    found.report(tmp_path)
    results = Results.load(tmp_path / "results.json")
    assert [entry["name"] for entry in results.sets] == list(sets)
    assert {metric["model"] for metric in results.metrics} == {"mine/v=2"}
    assert {metric["set"] for metric in results.metrics} == set(sets)
    stored = reporting.load_scores(tmp_path / "scores.npz")
    assert stored.keys() == found.scores.keys()
    for key, values in found.scores.items():
        np.testing.assert_array_equal(stored[key], values)
