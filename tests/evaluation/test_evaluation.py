import dataclasses

import numpy as np
import pytest
from tiny_models import DETECTORS_FOR_ANY, random_images, small_network

from kerasood.data.source import ArraySource, ImageDigest
from kerasood.data.splits import halves
from kerasood.detectors import DETECTORS
from kerasood.evaluation.calibration import calibration_scores
from kerasood.evaluation.measure import Settings, choice_in_words, measure
from kerasood.evaluation.outputs import collect
from kerasood.evaluation.subject import Subject, divide
from kerasood.evaluation.subject_outputs import SubjectOutputs
from kerasood.extractor.build import build_extractor, head_of
from kerasood.extractor.input_gradient import SteppedExtractor
from kerasood.metrics import all_metrics

IMAGES = random_images((8, 8, 3), num_images=60)
TRAINING = ArraySource("train", random_images((8, 8, 3), 40)[::-1], np.arange(40) % 4)
OUTSIDE = {
    "dark": ArraySource("dark", IMAGES[:20] // 3),
    "noise": ArraySource("noise", random_images((8, 8, 3), num_images=45)[::-1]),
}
PLAIN = {name: make() for name, make in DETECTORS_FOR_ANY.items()}
SETTINGS = Settings(tpr=0.8, seed=3, batch_size=16, tune=False)


@pytest.fixture(scope="module")
def extractor():
    return build_extractor(small_network())


@pytest.fixture(scope="module")
def test_source(extractor):
    """Labels are true for 51 of the 60 images, so that the accuracy is 0.85."""
    labels = np.argmax(collect(extractor, [IMAGES])["logits"], axis=1)
    labels[::7] = (labels[::7] + 1) % 4
    return ArraySource("test", IMAGES, labels)


def subject_of(extractor, test, kept_out=None, training=TRAINING, settings=SETTINGS):
    num_choosing = settings.validation_images if settings.tune else 0
    images = divide(test, training, kept_out, num_choosing, settings.seed)
    return Subject("key", "label", "description", extractor, images, head_of(extractor))


def measured(extractor, test, detectors=PLAIN, settings=SETTINGS, progress=None, **subject):
    of = subject_of(extractor, test, settings=settings, **subject)
    return measure(of, OUTSIDE, detectors, settings, progress)


@pytest.fixture(scope="module")
def evaluated(extractor, test_source):
    return measured(extractor, test_source)


def energies(extractor, images):
    logits = extractor.predict(images, verbose=0)["logits"].astype("float64")
    return -np.log(np.exp(logits).sum(axis=1))


def test_the_entry_describes_the_model_and_its_accuracy(evaluated):
    assert evaluated.entry == {
        "key": "key",
        "label": "label",
        "description": "description",
        "seed": None,
        "base": None,
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
    changed = measured(extractor, ArraySource("test", images, labels)).calibrated
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
    result = measured(extractor, test_source, kept_out=kept_out)
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
    outputs = SubjectOutputs(subject_of(extractor, test_source), batch_size=16)
    detector = evaluated.detectors["mahalanobis"]
    calibration = calibration_scores(detector, outputs)
    rows, others = halves(60, seed=3)
    scores_in = evaluated.scores["key", "mahalanobis", "in"]
    np.testing.assert_allclose(calibration.scores, scores_in[rows], rtol=1e-4)
    assert outputs.images["calibration"]["num_images"] == 30
    assert calibration.described.startswith("30 of the 60 test images")


def test_calibrating_on_kept_out_images_does_not_open_the_test_images(extractor):
    kept_out = ArraySource("kept out", IMAGES[:5])
    outputs = SubjectOutputs(subject_of(extractor, None, kept_out))
    calibration = calibration_scores(DETECTORS["energy"](), outputs)
    assert len(calibration.scores) == 5
    assert calibration.described == "5 images kept out of training"


def counting():
    """Counts by title, and a progress that counts."""
    seen = {}

    def progress(title, total):
        name = title.removeprefix("label: ")

        def step(count):
            seen[name] = seen.get(name, 0) + count

        return step

    return seen, progress


def test_every_image_is_seen_once_whatever_the_number_of_detectors(extractor, test_source):
    seen, count = counting()
    plain = {name: make() for name, make in DETECTORS_FOR_ANY.items() if not make().input_step}
    for detectors in (plain, {"mahalanobis": DETECTORS["mahalanobis"]()}):
        seen.clear()
        measured(extractor, test_source, detectors, progress=count)
        assert seen == {"in": 60, "train": 40, "dark": 20, "noise": 45}


def test_a_step_on_the_image_costs_a_pass_of_its_own_and_the_progress_says_so(
    extractor, test_source
):
    seen, count = counting()
    measured(extractor, test_source, {"odin": DETECTORS["odin"]()}, progress=count)
    assert seen["in"] == seen["in, ODIN's step on the image"] == 60
    assert seen["dark, ODIN's step on the image"] == 20


def test_the_step_of_a_detector_is_made_once_for_all_sets(extractor, test_source, monkeypatch):
    made = []

    def make(*arguments):
        made.append(arguments)
        return SteppedExtractor(*arguments)

    monkeypatch.setattr("kerasood.evaluation.subject_outputs.SteppedExtractor", make)
    steps = {"small": DETECTORS["odin"](1.0, 0.001), "large": DETECTORS["odin"](1.0, 0.05)}
    result = measured(extractor, test_source, steps)
    assert [step for _, _, step in made] == [0.001, 0.05]
    small, large = (result.scores["key", name, "dark"] for name in steps)
    assert np.any(small != large)


@pytest.mark.parametrize("name", ["in", "train", "calibration"])
def test_ood_sets_that_would_be_confused_with_the_models_own(extractor, test_source, name):
    with pytest.raises(ValueError, match=f"than in, train, calibration. Received: {name}"):
        measure(subject_of(extractor, test_source), {name: test_source}, PLAIN, SETTINGS)


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
        name: {"num_images": len(images), "sha256": hashed(images)}
        for name, images in digests.items()
    }


def test_tuned_detectors_say_what_they_chose_on_which_images(extractor, test_source):
    settings = dataclasses.replace(SETTINGS, tune=True, validation_images=100)
    result = measured(extractor, test_source, {"odin": DETECTORS["odin"]()}, settings)
    choice = result.entry["choices"]["odin"]
    assert choice["chosen"] == result.detectors["odin"].get_params()
    # An eighth of 60.
    assert choice["num_images"] == 7
    assert choice["images"] == "7 images that are neither trained nor tested on"
    assert choice["default"].items() >= DETECTORS["odin"]().get_params().items()
    assert choice["auroc"] >= choice["default"]["auroc"]
    assert "ODIN" not in choice_in_words("odin", choice) and "default" in choice_in_words(
        "odin", choice
    )


def test_images_that_choose_neither_calibrate_nor_test(test_source):
    images = divide(test_source, TRAINING, None, 100, seed=3)
    every = test_source.load()[0]
    parts = [part.load()[0] for part in (images.choosing, images.calibrating, images.checking)]
    assert [len(part) for part in parts] == [7, 26, 27]
    rows = np.concatenate([
        [np.flatnonzero((every == image).all(axis=(1, 2, 3)))[0] for image in part]
        for part in parts
    ])
    assert sorted(rows) == list(range(60))
    assert images.testing.num_images == 53
    kept_out = ArraySource("kept out", IMAGES[:41])
    images = divide(test_source, TRAINING, kept_out, 100)
    # A quarter of 41 at most, evenly spaced from the first to the last.
    chosen = [0, 4, 8, 13, 17, 22, 26, 31, 35, 40]
    assert images.choosing.rows.tolist() == chosen
    assert images.calibrating.rows.tolist() == [row for row in range(41) if row not in chosen]
    assert images.testing is images.checking is test_source


def test_all_images_that_a_user_brings_calibrate(extractor, test_source):
    new = ArraySource("new", IMAGES[:40])
    subject = subject_of(extractor, test_source).calibrated_on(new)
    odin = DETECTORS["odin"]()
    odin.choice_ = {"num_images": 200}
    calibration = calibration_scores(odin, SubjectOutputs(subject))
    assert len(calibration.scores) == 40
    assert calibration.described == "40 images of new"


def test_detectors_that_learn_need_training_images(extractor, test_source):
    with pytest.raises(ValueError, match=r"\w+ learns from them. Received: none for label"):
        measured(extractor, test_source, training=None)


def test_too_few_images_for_the_wanted_rate_are_refused(extractor, test_source):
    strict = dataclasses.replace(SETTINGS, tpr=0.99)
    with pytest.raises(ValueError, match="tpr=0.99 needs at least 99 images.*with 30"):
        measured(extractor, test_source, settings=strict)
