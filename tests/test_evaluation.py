import dataclasses

import numpy as np
import pytest
from tiny_models import random_images, small_network

from kerasood import protocols
from kerasood.data.base import ArraySource
from kerasood.data.in_distribution import halves
from kerasood.detectors import DETECTORS
from kerasood.evaluation import Candidate, Settings, calibration_outputs, evaluate_candidate
from kerasood.metrics import all_metrics
from kerasood.models.extractor import build_extractor
from kerasood.outputs import collect

IMAGES = random_images((8, 8, 3), num_images=60)
TEST = ArraySource("test", IMAGES)
OUTSIDE = {
    "dark": ArraySource("dark", IMAGES[:20] // 3),
    "noise": ArraySource("noise", random_images((8, 8, 3), num_images=45)[::-1]),
}
SETTINGS = Settings(
    detectors={name: make() for name, make in DETECTORS.items()},
    protocol=protocols.find("full"),
    tpr=0.8,
    seed=3,
    batches=lambda source: (images for images, _ in source.batches(16)),
)


@pytest.fixture(scope="module")
def extractor():
    return build_extractor(small_network())


@pytest.fixture(scope="module")
def labels(extractor):
    """True for 51 of the 60 images, so that the accuracy is 0.85."""
    labels = np.argmax(collect(extractor, [IMAGES])["logits"], axis=1)
    labels[::7] = (labels[::7] + 1) % 4
    return labels


def candidate_of(extractor, calibration=None):
    return Candidate("key", "label", "description", extractor, calibration)


@pytest.fixture(scope="module")
def evaluated(extractor, labels):
    return evaluate_candidate(candidate_of(extractor), (TEST, labels), OUTSIDE, SETTINGS)


def energies(extractor, images):
    logits = extractor.predict(images, verbose=0)["logits"].astype("float64")
    return -np.log(np.exp(logits).sum(axis=1))


def test_the_entry_describes_the_model_and_its_accuracy(evaluated):
    entry = evaluated[0]
    assert entry == {
        "key": "key", "label": "label", "description": "description", "accuracy": 51 / 60
    }


def test_scores_are_kept_for_every_detector_and_set(evaluated, extractor):
    scores = evaluated[3]
    expected = {("key", d, s) for d in DETECTORS for s in ("in", "dark", "noise")}
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
    _, metrics, _, scores = evaluated
    assert len(metrics) == len(DETECTORS) * len(OUTSIDE)
    for entry in metrics:
        scores_in, scores_out = (
            scores[entry["model"], entry["detector"], name] for name in ("in", entry["set"])
        )
        expected = all_metrics(scores_in, scores_out)
        assert {name: entry[name]["mean"] for name in expected} == expected
        assert 0 < entry["auroc"]["mean"] < 1 and entry["auroc"]["std"] is None


def test_the_threshold_comes_from_one_half_and_is_checked_on_the_other(evaluated):
    _, _, calibrated, scores = evaluated
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


def test_the_half_that_checks_has_no_say_in_the_threshold(evaluated, extractor, labels):
    _, fresh = halves(60, seed=3)
    images = IMAGES.copy()
    images[fresh] = 255
    changed = evaluate_candidate(
        candidate_of(extractor), (ArraySource("test", images), labels), OUTSIDE, SETTINGS
    )[2]
    for before, after in zip(evaluated[2], changed, strict=True):
        assert before["threshold"] == after["threshold"]
        assert before["realised"]["rate"] not in (0, 1)
        assert after["realised"]["rate"] in (0, 1)


def test_flagged_is_the_share_of_ood_images_above_the_threshold(evaluated):
    _, _, calibrated, scores = evaluated
    for entry in calibrated:
        for name in OUTSIDE:
            values = scores["key", entry["detector"], name]
            above = np.mean(values > np.float32(entry["threshold"]["value"]))
            assert entry["flagged"][name] == pytest.approx(above, abs=1e-12)


def test_images_kept_out_of_training_calibrate_and_all_test_images_check(
    evaluated, extractor, labels
):
    kept_out = ArraySource("kept out", random_images((8, 8, 3), num_images=29)[::-1] // 2)
    _, metrics, calibrated, scores = evaluate_candidate(
        candidate_of(extractor, kept_out), (TEST, labels), OUTSIDE, SETTINGS
    )
    assert metrics == evaluated[1]
    entry = next(entry for entry in calibrated if entry["detector"] == "energy")
    # k = ceil((29 + 1) * 0.8) = 24.
    ordered = np.sort(energies(extractor, kept_out.load()[0]))
    assert ordered[23] < entry["threshold"]["value"] < ordered[24]
    assert entry["calibrated_on"] == "29 images kept out of training"
    accepted = scores["key", "energy", "in"] <= np.float32(entry["threshold"]["value"])
    assert entry["realised"]["rate"] == np.mean(accepted)
    assert entry["realised"]["num_images"] == 60


def test_calibrating_alone_gives_the_same_outputs(extractor):
    outputs, described = calibration_outputs(candidate_of(extractor), lambda: TEST, SETTINGS)
    rows, _ = halves(60, seed=3)
    expected = collect(extractor, SETTINGS.batches(TEST))
    np.testing.assert_array_equal(outputs["logits"], expected["logits"][rows])
    assert described.startswith("30 of the 60 test images")


def test_calibrating_on_kept_out_images_does_not_open_the_test_images(extractor):
    kept_out = ArraySource("kept out", IMAGES[:5])
    outputs, described = calibration_outputs(candidate_of(extractor, kept_out), None, SETTINGS)
    assert (outputs["logits"].shape, described) == ((5, 4), "5 images kept out of training")


def test_every_image_is_seen_once_whatever_the_number_of_detectors(extractor, labels):
    seen = {}

    def count(name, num_images):
        seen[name] = seen.get(name, 0) + num_images

    one = dataclasses.replace(SETTINGS, detectors={"msp": DETECTORS["msp"]()})
    for settings in (SETTINGS, one):
        seen.clear()
        evaluate_candidate(candidate_of(extractor), (TEST, labels), OUTSIDE, settings, count)
        assert seen == {"in": 60, "dark": 20, "noise": 45}


def test_too_few_images_for_the_wanted_rate_are_refused(extractor, labels):
    strict = dataclasses.replace(SETTINGS, tpr=0.99)
    with pytest.raises(ValueError, match="tpr=0.99 needs at least 99 images.*with 30"):
        evaluate_candidate(candidate_of(extractor), (TEST, labels), OUTSIDE, strict)
