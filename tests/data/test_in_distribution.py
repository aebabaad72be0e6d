import dataclasses

import numpy as np
import pytest
from tiny_data import images_of, tiny_config, write_npz

from kerasood.data.digest import ImageDigest
from kerasood.data.options import DataOptions
from kerasood.data.splits import (
    calibration_source,
    halves,
    holdout_rows,
    load_training_data,
    training_source,
)
from kerasood.errors import InvalidInputError
from kerasood.runs import Run
from kerasood.training import planning
from kerasood.training.config import stage_config

LABELS = np.repeat([0, 1, 2], [50, 30, 20])


def stage_of(config):
    return stage_config(config, "pretrain")


def as_set(images):
    return {image.tobytes() for image in images}


def test_a_holdout_has_its_share_of_every_class():
    kept, held = holdout_rows(LABELS, 0.1, seed=0)
    assert np.bincount(LABELS[held]).tolist() == [5, 3, 2]
    assert np.bincount(LABELS[kept]).tolist() == [45, 27, 18]


@pytest.mark.parametrize("share", [0.05, 0.37, 0.9])
def test_a_holdout_divides_the_images(share):
    kept, held = holdout_rows(LABELS, share, seed=1)
    assert np.all(np.diff(kept) > 0) and np.all(np.diff(held) > 0)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(100))
    assert len(held) == int(np.ceil(100 * share))


def test_a_holdout_follows_from_its_seed():
    first, again, other = (holdout_rows(LABELS, 0.2, seed)[1] for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=f"Expected holdout in .*Received: holdout={share}"):
        holdout_rows(LABELS, share, seed=0)


@pytest.mark.parametrize(
    ("labels", "share", "message"),
    [
        (np.arange(200) % 50, 0.1, "from 0.25 to 0.750.*Received: holdout=0.1 of 200 images in 50"),
        (np.arange(200) % 50, 0.9, "holdout from 0.25 to 0.750"),
        (np.r_[LABELS, 3], 0.2, "two images of every class.*in 4 classes, the smallest of 1"),
    ],
)
def test_a_holdout_without_room_for_every_class_is_refused(labels, share, message):
    with pytest.raises(InvalidInputError, match=message):
        holdout_rows(labels, share, seed=0)


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_the_ends_of_the_range_have_room(share):
    kept, held = holdout_rows(np.arange(200) % 50, share, seed=0)
    assert len(kept) + len(held) == 200 and min(len(kept), len(held)) == 50


@pytest.mark.parametrize("num_images", [2, 7, 100])
def test_halves_divide_the_test_images(num_images):
    calibration, check = halves(num_images, seed=0)
    assert (len(calibration), len(check)) == (num_images // 2, num_images - num_images // 2)
    together = np.sort(np.concatenate([calibration, check]))
    np.testing.assert_array_equal(together, np.arange(num_images))


def test_halves_follow_from_their_seed_and_are_no_prefix():
    calibration, _ = halves(1000, seed=3)
    np.testing.assert_array_equal(calibration, halves(1000, seed=3)[0])
    assert np.any(calibration != halves(1000, seed=4)[0])
    assert 400 < calibration.mean() < 600


def test_a_holdout_calibrates_and_is_never_trained_on(tmp_path):
    config = tiny_config(tmp_path, holdout=0.25, seed=3)
    data = load_training_data(config)
    images, labels = calibration_source(stage_of(config)).load()
    assert as_set(images) == as_set(data.validation[0])
    assert not as_set(images) & as_set(data.training[0])
    assert len(images) + len(data.training[0]) == 24
    assert np.bincount(labels).tolist() == [3, 3]
    np.testing.assert_array_equal(labels, data.validation[1])


def test_the_held_out_images_are_those_of_the_runs_seed(tmp_path):
    config = tiny_config(tmp_path, holdout=0.25, seed=3)
    other = calibration_source(stage_of(tiny_config(tmp_path, holdout=0.25, seed=4))).load()[0]
    assert as_set(other) & as_set(load_training_data(config).training[0])


def test_a_fine_tune_holds_out_what_its_pretraining_did(tmp_path):
    config = tiny_config(tmp_path, stage="all", holdout=0.25)
    sources = [
        calibration_source(stage_config(config, stage)) for stage in ("pretrain", "finetune")
    ]
    assert as_set(sources[0].load()[0]) == as_set(sources[1].load()[0])


def test_a_validation_split_calibrates_where_nothing_is_held_out(tmp_path):
    labels = np.arange(6) % 2
    extra = {"validation_images": images_of(labels, seed=9), "validation_labels": labels}
    config = tiny_config(tmp_path, dataset=write_npz(tmp_path / "three.npz", **extra))
    data = load_training_data(config)
    images = calibration_source(stage_of(config)).load()[0]
    np.testing.assert_array_equal(images, extra["validation_images"])
    np.testing.assert_array_equal(data.validation[0], extra["validation_images"])
    assert not as_set(images) & as_set(data.training[0]) and len(data.training[0]) == 24


def test_a_holdout_comes_before_the_validation_split(tmp_path):
    labels = np.arange(6) % 2
    extra = {"validation_images": images_of(labels, seed=9), "validation_labels": labels}
    dataset = write_npz(tmp_path / "three.npz", **extra)
    config = tiny_config(tmp_path, dataset=dataset, holdout=0.5)
    calibration = calibration_source(stage_of(config)).load()[0]
    assert as_set(calibration) == as_set(load_training_data(config).validation[0])
    assert not as_set(calibration) & as_set(extra["validation_images"])


def test_without_either_there_is_nothing_to_calibrate_on(tmp_path):
    config = tiny_config(tmp_path)
    data = load_training_data(config)
    assert data.validation is None and len(data.training[0]) == 24
    assert (data.num_classes, data.class_names) == (2, None)
    assert calibration_source(stage_of(config)) is None


def test_the_digits_calibrate_on_their_validation_split(tmp_path):
    config = tiny_config(tmp_path, dataset="digits")
    data = load_training_data(config)
    images = calibration_source(stage_of(config), DataOptions(download=False)).load()[0]
    np.testing.assert_array_equal(images, data.validation[0])
    assert not as_set(images) & as_set(data.training[0])


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ({"train_labels": np.zeros(24, int), "test_labels": np.zeros(24, int)}, "1 class"),
        ({"train_labels": np.full(24, 0.5)}, "dtype=float64"),
    ],
)
def test_images_that_train_no_classifier_are_refused(tmp_path, changes, received):
    dataset = write_npz(tmp_path / "odd.npz", **changes)
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        load_training_data(tiny_config(tmp_path, dataset=dataset))


def test_images_without_labels_are_refused(tmp_path):
    np.savez(tmp_path / "odd.npz", train_images=images_of(np.zeros(4, int)))
    with pytest.raises(ValueError, match="at least two classes in .*odd.npz. Received: no labels"):
        load_training_data(tiny_config(tmp_path, dataset=str(tmp_path / "odd.npz")))


def started_base(folder, **values):
    run = Run(folder / "base", stage_of(tiny_config(folder, **values)))
    run.start()
    return run.path


def holdout_seed(config, init):
    return planning._holdout_seed(stage_config(config, "finetune", init=str(init)))


@pytest.mark.parametrize(
    ("base", "listed"),
    [
        ({"holdout": 0.0}, "holdout=0.0 there, 0.25 now"),
        ({"holdout": 0.25, "dataset": "digits"}, "dataset='digits' there, "),
    ],
)
def test_a_base_that_may_have_seen_the_held_out_images_is_refused(tmp_path, base, listed):
    with pytest.raises(ValueError, match="Expected a base that never saw the images") as error:
        holdout_seed(tiny_config(tmp_path, holdout=0.25), started_base(tmp_path, **base))
    assert listed in str(error.value) and str(error.value).count(" there") == 1


def test_a_base_with_the_same_holdout_is_accepted(tmp_path):
    path = started_base(tmp_path, holdout=0.25, depth=16)
    assert holdout_seed(tiny_config(tmp_path, holdout=0.25), path) is None


def test_without_a_holdout_any_base_is_accepted(tmp_path):
    path = started_base(tmp_path, holdout=0.25, seed=9)
    assert holdout_seed(tiny_config(tmp_path), path) is None


def test_a_fine_tune_of_another_seed_holds_out_what_its_base_did(tmp_path):
    base = tiny_config(tmp_path, holdout=0.25, seed=9)
    path = started_base(tmp_path, holdout=0.25, seed=9)
    config = tiny_config(tmp_path, holdout=0.25, seed=2)
    assert holdout_seed(config, path) == 9
    stage = dataclasses.replace(stage_config(config, "finetune", init=str(path)), holdout_seed=9)
    assert stage.split_seed == 9
    data = load_training_data(config, stage.split_seed)
    held = calibration_source(stage).load()[0]
    assert as_set(held) == as_set(data.validation[0])
    assert not as_set(held) & as_set(load_training_data(base).training[0])
    assert as_set(training_source(stage).load()[0]) == as_set(data.training[0])
    # And so on down a chain of fine-tunes.
    run = Run(tmp_path / "tuned", stage)
    run.start()
    assert holdout_seed(tiny_config(tmp_path, holdout=0.25, seed=3), run.path) == 9


def test_the_digests_name_the_images_of_every_set(tmp_path):
    data = load_training_data(tiny_config(tmp_path, holdout=0.25))
    digests = data.digests()
    assert {name: digest["count"] for name, digest in digests.items()} == {
        "training": 18, "validation": 6
    }
    pixels = ImageDigest()
    pixels.update(data.training[0])
    assert digests["training"]["sha256"] == pixels.hexdigest
    with_outliers = dataclasses.replace(data, validation=None, outliers=data.training[0][::2])
    assert set(with_outliers.digests()) == {"training", "outliers"}
    outliers = with_outliers.digests()["outliers"]
    assert outliers["count"] == 9 and outliers["sha256"] != digests["training"]["sha256"]
