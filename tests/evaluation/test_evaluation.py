import dataclasses
import json

import keras
import numpy as np
import pytest
from tiny_models import DETECTORS_FOR_ANY, random_images, small_network

from kerasood.data.source import ArraySource, ImageDigest
from kerasood.data.splits import halves
from kerasood.detectors import DETECTORS, Detector
from kerasood.evaluation import protocols
from kerasood.evaluation.fitting import CandidateOutputs, FittedDetectors
from kerasood.evaluation.measure import Candidate, Settings, calibration_scores, evaluate_candidate
from kerasood.evaluation.outputs import collect
from kerasood.extractor.build import build_extractor, head_of
from kerasood.extractor.input_gradient import SteppedExtractor
from kerasood.metrics import all_metrics

IMAGES = random_images((8, 8, 3), num_images=60)
TRAINING = ArraySource("train", random_images((8, 8, 3), 40)[::-1], np.arange(40) % 4)
OUTSIDE = {
    "dark": ArraySource("dark", IMAGES[:20] // 3),
    "noise": ArraySource("noise", random_images((8, 8, 3), num_images=45)[::-1]),
}
SETTINGS = Settings(
    detectors={name: make() for name, make in DETECTORS_FOR_ANY.items()},
    protocol=protocols.find("full"),
    tpr=0.8,
    seed=3,
    batch_size=16,
)


@pytest.fixture(scope="module")
def extractor():
    return build_extractor(small_network())


@pytest.fixture(scope="module")
def test_source(extractor):
    """Labels are true for 51 of the 60 images, so that the accuracy is 0.85."""
    labels = np.argmax(collect(extractor, [IMAGES])["logits"], axis=1)
    labels[::7] = (labels[::7] + 1) % 4
    return ArraySource("test", IMAGES, labels)


def candidate_of(extractor, calibration=None, **values):
    named = ("key", "label", "description")
    return Candidate(*named, extractor, TRAINING, calibration, head_of(extractor), **values)


@pytest.fixture(scope="module")
def evaluated(extractor, test_source):
    return evaluate_candidate(candidate_of(extractor), test_source, OUTSIDE, SETTINGS)


def energies(extractor, images):
    logits = extractor.predict(images, verbose=0)["logits"].astype("float64")
    return -np.log(np.exp(logits).sum(axis=1))


def test_the_entry_describes_the_model_and_its_accuracy(evaluated):
    assert evaluated.entry == {
        "key": "key",
        "label": "label",
        "description": "description",
        "seed": None,
        "accuracy": 51 / 60,
        "choices": {},
    }


def test_scores_are_kept_for_every_detector_and_set(evaluated, extractor):
    scores = evaluated.scores
    expected = {("key", d, s) for d in DETECTORS_FOR_ANY for s in ("in", "dark", "noise")}
    assert set(scores) == expected
    assert {name: len(scores["key", "msp", name]) for name in ("in", "dark", "noise")} == {
        "in": 60, "dark": 20, "noise": 45
    }
    for name, images in (("in", IMAGES), ("dark", OUTSIDE["dark"].load()[0])):
        assert scores["key", "energy", name].dtype == np.float32
        np.testing.assert_allclose(
            scores["key", "energy", name], energies(extractor, images), rtol=1e-5
        )


def test_metrics_are_those_of_the_kept_scores(evaluated):
    metrics, scores = evaluated.metrics, evaluated.scores
    assert len(metrics) == len(DETECTORS_FOR_ANY) * len(OUTSIDE)
    for entry in metrics:
        scores_in, scores_out = (
            scores[entry["model"], entry["detector"], name] for name in ("in", entry["set"])
        )
        expected = all_metrics(scores_in, scores_out)
        assert {name: entry[name]["mean"] for name in expected} == expected
        assert 0 < entry["auroc"]["mean"] < 1 and entry["auroc"]["std"] is None


def test_the_threshold_comes_from_one_half_and_is_checked_on_the_other(evaluated):
    calibrated, scores = evaluated.calibrated, evaluated.scores
    chosen, fresh = halves(60, seed=3)
    for entry in calibrated:
        values = scores["key", entry["detector"], "in"]
        # k = ceil((30 + 1) * 0.8) = 25 of the 30 calibration images are accepted.
        ordered = np.sort(values[chosen])
        assert ordered[24] <= entry["threshold"]["value"] < ordered[25]
        assert (entry["threshold"]["rank"], entry["threshold"]["num_images"]) == (25, 30)
        accepted = values[fresh] <= np.float32(entry["threshold"]["value"])
        assert entry["realised"]["rate"] == np.mean(accepted)
        assert entry["realised"]["num_images"] == 30
        low, high = entry["realised"]["interval"]
        assert entry["realised"]["inside"] == (low <= np.mean(accepted) <= high)
        assert entry["calibrated_on"] == "30 of the 60 test images, checked on the others"


def test_the_half_that_checks_has_no_say_in_the_threshold(evaluated, extractor, test_source):
    _, fresh = halves(60, seed=3)
    images, labels = IMAGES.copy(), test_source.load()[1]
    images[fresh] = 255
    changed = evaluate_candidate(
        candidate_of(extractor), ArraySource("test", images, labels), OUTSIDE, SETTINGS
    ).calibrated
    for before, after in zip(evaluated.calibrated, changed, strict=True):
        assert before["threshold"] == after["threshold"]
        assert before["realised"]["rate"] not in (0, 1)
        assert after["realised"]["rate"] in (0, 1)


def test_flagged_is_the_share_of_ood_images_above_the_threshold(evaluated):
    calibrated, scores = evaluated.calibrated, evaluated.scores
    for entry in calibrated:
        for name in OUTSIDE:
            values = scores["key", entry["detector"], name]
            above = np.mean(values > np.float32(entry["threshold"]["value"]))
            assert entry["flagged"][name] == pytest.approx(above, abs=1e-12)


def test_images_kept_out_of_training_calibrate_and_all_test_images_check(
    evaluated, extractor, test_source
):
    kept_out = ArraySource("kept out", random_images((8, 8, 3), num_images=29)[::-1] // 2)
    result = evaluate_candidate(
        candidate_of(extractor, kept_out), test_source, OUTSIDE, SETTINGS
    )
    assert result.metrics == evaluated.metrics
    scores = result.scores
    entry = next(entry for entry in result.calibrated if entry["detector"] == "energy")
    # k = ceil((29 + 1) * 0.8) = 24.
    ordered = np.sort(energies(extractor, kept_out.load()[0]))
    assert ordered[23] < entry["threshold"]["value"] < ordered[24]
    assert entry["calibrated_on"] == "29 images kept out of training"
    accepted = scores["key", "energy", "in"] <= np.float32(entry["threshold"]["value"])
    assert entry["realised"]["rate"] == np.mean(accepted)
    assert entry["realised"]["num_images"] == 60


def test_calibrating_alone_gives_the_same_scores(extractor, test_source, evaluated):
    outputs = CandidateOutputs(candidate_of(extractor), batch_size=16)
    detector = evaluated.detectors["mahalanobis"]
    calibration = calibration_scores(detector, outputs, test_source, seed=3)
    rows, others = halves(60, seed=3)
    scores_in = evaluated.scores["key", "mahalanobis", "in"]
    np.testing.assert_array_equal(calibration.scores, scores_in[rows])
    np.testing.assert_array_equal(calibration.fresh, scores_in[others])
    assert calibration.described.startswith("30 of the 60 test images")


def test_calibrating_on_kept_out_images_does_not_open_the_test_images(extractor):
    kept_out = ArraySource("kept out", IMAGES[:5])
    outputs = CandidateOutputs(candidate_of(extractor, kept_out))
    calibration = calibration_scores(DETECTORS["energy"](), outputs, None, seed=3)
    assert len(calibration.scores) == 5
    assert calibration.described == "5 images kept out of training"


def test_every_image_is_seen_once_whatever_the_number_of_detectors(extractor, test_source):
    seen = {}

    def count(name, num_images):
        seen[name] = seen.get(name, 0) + num_images

    plain = {name: make() for name, make in DETECTORS_FOR_ANY.items() if not make().input_step}
    for detectors in (plain, {"mahalanobis": DETECTORS["mahalanobis"]()}):
        seen.clear()
        settings = dataclasses.replace(SETTINGS, detectors=detectors)
        evaluate_candidate(candidate_of(extractor), test_source, OUTSIDE, settings, count)
        assert seen == {"in": 60, "train": 40, "dark": 20, "noise": 45}


def test_a_step_on_the_image_costs_a_pass_of_its_own_and_the_progress_says_so(
    extractor, test_source
):
    seen = {}

    def count(name, num_images):
        seen[name] = seen.get(name, 0) + num_images

    settings = dataclasses.replace(SETTINGS, detectors={"odin": DETECTORS["odin"]()})
    evaluate_candidate(candidate_of(extractor), test_source, OUTSIDE, settings, count)
    assert seen["in"] == seen["in, ODIN's step on the image"] == 60
    assert seen["dark, ODIN's step on the image"] == 20


def test_the_step_of_a_detector_is_made_once_for_all_sets(extractor, test_source, monkeypatch):
    made = []

    def make(*arguments):
        made.append(arguments)
        return SteppedExtractor(*arguments)

    monkeypatch.setattr("kerasood.evaluation.fitting.SteppedExtractor", make)
    steps = {"small": DETECTORS["odin"](1.0, 0.001), "large": DETECTORS["odin"](1.0, 0.05)}
    settings = dataclasses.replace(SETTINGS, detectors=steps)
    result = evaluate_candidate(candidate_of(extractor), test_source, OUTSIDE, settings)
    assert [step for _, _, step in made] == [0.001, 0.05]
    small, large = (result.scores["key", name, "dark"] for name in steps)
    assert np.any(small != large)


@pytest.mark.parametrize("name", ["in", "train", "calibration"])
def test_ood_sets_that_would_be_confused_with_the_models_own(extractor, test_source, name):
    with pytest.raises(ValueError, match=f"than in, train, calibration. Received: {name}"):
        evaluate_candidate(candidate_of(extractor), test_source, {name: test_source}, SETTINGS)


def hashed(images):
    digest = ImageDigest()
    digest.update(images)
    return digest.hexdigest


def test_images_are_counted_and_hashed(evaluated, test_source):
    digests = {
        "in": IMAGES, "train": TRAINING.load()[0], "dark": IMAGES[:20] // 3,
        "noise": OUTSIDE["noise"].load()[0],
    }
    assert evaluated.images == {
        name: {
            "num_images": len(images),
            "sha256": hashed(images),
        }
        for name, images in digests.items()
    }


def test_tuned_detectors_say_what_they_chose_on_which_images(extractor, test_source):
    settings = dataclasses.replace(
        SETTINGS, detectors={"odin": DETECTORS["odin"]()}, tune=True, validation_images=8
    )
    result = evaluate_candidate(candidate_of(extractor), test_source, OUTSIDE, settings)
    choice = result.entry["choices"]["odin"]
    assert choice["chosen"] == result.detectors["odin"].get_params()
    assert choice["images"] == "8 training images"
    assert "test" not in json.dumps(choice)


def test_images_that_chose_parameters_do_not_calibrate(extractor, test_source):
    kept_out = ArraySource("kept out", IMAGES[:41])
    settings = dataclasses.replace(
        SETTINGS, detectors={"odin": DETECTORS["odin"](), "energy": DETECTORS["energy"]()},
        tune=True, validation_images=100,
    )
    result = evaluate_candidate(
        candidate_of(extractor, kept_out), test_source, OUTSIDE, settings
    )
    # A quarter of 41 at most, evenly spaced from the first to the last.
    odin = result.detectors["odin"]
    assert odin.choice_["images"] == "10 images kept out of training"
    chosen = [0, 4, 8, 13, 17, 22, 26, 31, 35, 40]
    rows = [row for row in range(41) if row not in chosen]
    outputs = CandidateOutputs(candidate_of(extractor, kept_out), batch_size=16)
    calibration = calibration_scores(odin, outputs, None, seed=3)
    everything = outputs.scores(odin, kept_out, "calibration")
    np.testing.assert_array_equal(calibration.scores, everything[rows])
    described = {entry["detector"]: entry["calibrated_on"] for entry in result.calibrated}
    assert described == {
        "odin": "31 images kept out of training", "energy": "41 images kept out of training"
    }


def test_detectors_that_learn_need_training_images(extractor, test_source):
    candidate = dataclasses.replace(candidate_of(extractor), training=None)
    with pytest.raises(ValueError, match=r"\w+ learns from them. Received: none for label"):
        evaluate_candidate(candidate, test_source, OUTSIDE, SETTINGS)


def test_too_few_images_for_the_wanted_rate_are_refused(extractor, test_source):
    strict = dataclasses.replace(SETTINGS, tpr=0.99)
    with pytest.raises(ValueError, match="tpr=0.99 needs at least 99 images.*with 30"):
        evaluate_candidate(candidate_of(extractor), test_source, OUTSIDE, strict)


class Remembering(Detector):
    """Is certain of what it was fitted on; notes the fits."""

    GRID = {"k": (1, 2)}
    reads = ("features",)
    learns = True
    fits = []

    def __init__(self, k=1):
        self.k = k

    def _fit(self, outputs, labels, head):
        self._keep(mean_=outputs["features"].mean(axis=0))
        self.fits.append((self.k, outputs["features"]))

    def _score(self, outputs):
        return self.k * keras.ops.sum(keras.ops.square(outputs["features"] - self.mean_), axis=-1)


@pytest.mark.parametrize("kept_out", [None, ArraySource("kept out", IMAGES[:9])])
def test_detectors_choose_without_having_seen_the_images_that_judge_them(extractor, kept_out):
    outputs = CandidateOutputs(candidate_of(extractor, kept_out))
    Remembering.fits.clear()
    fitter = FittedDetectors(outputs, tune=True, validation_images=30, seed=1)
    detector = fitter.fit(Remembering())
    all_features = outputs.collect(TRAINING, "train").outputs["features"]
    lengths = [(k, len(features)) for k, features in Remembering.fits]
    if kept_out is not None:
        assert lengths == [(1, 40), (2, 40)]
        assert detector.choice_["images"] == "2 images kept out of training"
        return
    # Half of 40 images choose, and in the end all are used.
    assert lengths == [(1, 20), (2, 20), (detector.k, 40)]
    assert detector.choice_["images"] == "20 training images"
    assert detector.choice_["chosen"] == {"k": detector.k}
    judges = np.linspace(0, 39, 20).astype(int)
    others = np.setdiff1d(np.arange(40), judges)
    for _, features in Remembering.fits[:2]:
        np.testing.assert_array_equal(features, all_features[others])
    np.testing.assert_array_equal(detector.mean_, all_features.mean(axis=0))


def test_the_nearest_neighbour_of_a_judging_image_is_another_one(extractor):
    outputs = CandidateOutputs(candidate_of(extractor))
    detector = FittedDetectors(outputs, tune=True, validation_images=20, seed=1).fit(
        DETECTORS["knn"]()
    )
    # The jigsaws and mirror images of noise lie no farther away than other noise.
    assert all(tried["fpr95"] > 0.1 for tried in detector.choice_["tried"])
    assert len(detector.bank_) == 40
