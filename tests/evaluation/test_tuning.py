import keras
import linear_network
import numpy as np
import pytest
from sklearn.base import clone

from kerasood.data.validation_outliers import OUTLIER_KINDS
from kerasood.detectors import GODIN, ODIN, Energy, Mahalanobis
from kerasood.evaluation.choosing import FitData, Validation, choose
from kerasood.evaluation.outputs import collect
from kerasood.extractor.input_gradient import SteppedExtractor
from kerasood.metrics import all_metrics
from kerasood.networks.decomposed_head import DeconfHead

IMAGES = linear_network.images(20, seed=3)


@pytest.fixture(scope="module")
def extractor():
    return linear_network.extractor()


@pytest.fixture(scope="module")
def validation(extractor):
    return Validation(extractor, IMAGES, seed=2, batch_size=8)


@pytest.fixture(scope="module")
def fit_data(extractor):
    outputs = collect(extractor, [linear_network.images(60, seed=1)])
    return FitData(outputs, outputs["logits"].argmax(axis=1), None)


def measured(extractor, detector, validation):
    """Mean FPR95 and AUROC over the outliers, each set of images through a model of its own."""
    if detector.input_step:
        extractor = SteppedExtractor(extractor, detector.input_loss, detector.input_step)
    scores = {
        name: np.asarray(detector.score(collect(extractor, [images])))
        for name, images in validation.images.items()
    }
    each = [all_metrics(scores["in"], s) for name, s in scores.items() if name != "in"]
    return tuple(np.mean([metrics[key] for metrics in each]) for key in ("fpr95", "auroc"))


def test_odin_chooses_the_best_of_all_forty_points(extractor, validation):
    chosen = choose(ODIN(), FitData(None, None, None), validation)
    tried = chosen.choice_["tried"]
    points = [(point["temperature"], point["magnitude"]) for point in tried]
    assert len(points) == len(set(points)) == 40
    assert {t for t, _ in points} == {1, 10, 100, 1000}
    best = min(range(40), key=lambda i: (-tried[i]["auroc"], tried[i]["fpr95"], i))
    assert chosen.get_params() == chosen.choice_["chosen"]
    assert (chosen.temperature, chosen.magnitude) == points[best]
    assert (chosen.choice_["fpr95"], chosen.choice_["auroc"]) == (
        tried[best]["fpr95"], tried[best]["auroc"]
    )
    for index in (0, 7, 29, best):
        expected = measured(extractor, ODIN(*points[index]), validation)
        np.testing.assert_allclose(
            (tried[index]["fpr95"], tried[index]["auroc"]), expected, atol=1e-9
        )


def test_a_learning_detector_is_fitted_and_chosen(extractor, validation, fit_data):
    chosen = choose(Mahalanobis(), fit_data, validation)
    assert [point["magnitude"] for point in chosen.choice_["tried"]] == list(
        Mahalanobis.GRID["magnitude"]
    )
    np.testing.assert_allclose(
        (chosen.choice_["fpr95"], chosen.choice_["auroc"]),
        measured(extractor, chosen, validation),
        atol=1e-9,
    )
    refitted = clone(chosen).fit(fit_data.outputs, fit_data.labels)
    np.testing.assert_array_equal(
        refitted.score(fit_data.outputs), chosen.score(fit_data.outputs)
    )


def test_ties_go_to_the_first_point(validation):
    class Indifferent(Energy):
        GRID = {"temperature": (3.0, 1.0, 2.0)}

        def _score(self, outputs):
            return 0.0 * super()._score(outputs)

    assert choose(Indifferent(), FitData(None, None, None), validation).temperature == 3.0


def test_the_choice_says_on_what_it_rests(validation):
    choice = choose(ODIN(), FitData(None, None, None), validation).choice_
    assert choice["images"] == "20 images that are neither trained nor tested on"
    assert choice["outliers"] == ["pixelate", "blur", "zoom", "negative", "photo"]


def test_the_detector_that_was_given_stays_as_it_is(validation, fit_data):
    detector = Mahalanobis(magnitude=0.002)
    choose(detector, fit_data, validation)
    assert vars(detector) == {"magnitude": 0.002}


def test_images_as_they_are_are_computed_once(extractor):
    calls = []

    class Counted:
        def __init__(self, model):
            self.model = model

        def predict_on_batch(self, images):
            calls.append(len(images))
            return self.model.predict_on_batch(images)

    validation = Validation(Counted(extractor), IMAGES, batch_size=20)
    for temperature in (1.0, 2.0):
        chosen = type("E", (Energy,), {"GRID": {"temperature": (1.0, temperature + 1)}})()
        choose(chosen, FitData(None, None, None), validation)
    assert calls == [20] * (1 + len(OUTLIER_KINDS))


def test_g_odin_chooses_its_step_on_in_distribution_images_alone():
    images = keras.Input(IMAGES.shape[1:], dtype="uint8")
    head = DeconfHead(3, "euclid")
    vectors = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(images))
    extractor = keras.Model(images, head(vectors))
    # Images lie a few steps away from one of the centres, and a longer step passes it.
    near = IMAGES[0].reshape(-1) / 255 + 0.03
    head.kernel.assign(np.stack([near, near + 1, near - 1], axis=1))
    some = np.repeat(IMAGES[:1], 6, axis=0)
    validation = Validation(extractor, some, seed=2, batch_size=8)
    means = {}
    for step in GODIN.GRID["magnitude"]:
        fitted = GODIN(magnitude=step)
        stepped = SteppedExtractor(extractor, fitted.input_loss, step) if step else extractor
        means[step] = np.mean(fitted.score(collect(stepped, [some])))
    best = min(means, key=means.get)
    chosen = choose(GODIN(), FitData(None, None, None), validation, {"magnitude": (0.0, *means)})
    assert chosen.magnitude == best not in (0.0, max(means))
    assert [point["magnitude"] for point in chosen.choice_["tried"]] == [best]
