import numpy as np
import pytest
from PIL import Image
from tiny_data import tiny_config, write_npz

from kerasood.data.open import open_source
from kerasood.data.options import DataOptions
from kerasood.data.source import ArraySource
from kerasood.data.training_images import TrainingImages, load_outliers
from kerasood.training.config import stage_config

IMAGES = np.random.default_rng(0).integers(0, 256, (2500, 4, 4, 3)).astype("uint8")


def test_all_outliers_are_kept_in_their_order_and_without_labels():
    labels = np.zeros(2500, "int32")
    loaded = load_outliers(ArraySource("mine", IMAGES, labels, 1))
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, IMAGES)


@pytest.mark.parametrize("max_outliers", [1, 700, 2499])
def test_a_sample_comes_from_everywhere_and_is_always_the_same(max_outliers):
    rows = np.arange(2500, dtype="int32")
    numbered = np.broadcast_to(rows.view(np.uint8).reshape(2500, 1, 4, 1), (2500, 4, 4, 3))
    source = ArraySource("numbered", np.ascontiguousarray(numbered))
    kept = load_outliers(source, max_outliers)
    found = np.ascontiguousarray(kept[:, 0, :, 0]).view("int32")[:, 0]
    assert len(found) == max_outliers and np.all(np.diff(found) > 0)
    if max_outliers == 700:
        # Mean 1250, standard error 23 of 700 out of 2500.
        assert abs(found.mean() - 1250) < 100
    np.testing.assert_array_equal(kept, load_outliers(source, max_outliers))


def test_more_than_there_are_keeps_all():
    assert len(load_outliers(ArraySource("mine", IMAGES), 10_000)) == 2500


def test_unreadable_files_are_left_out(tmp_path):
    for number in range(6):
        Image.fromarray(IMAGES[number].repeat(8, 0).repeat(8, 1)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"no image")
    assert len(load_outliers(open_source(str(tmp_path), "outliers"))) == 5
    assert len(load_outliers(open_source(str(tmp_path), "outliers"), 5)) in (4, 5)


def test_outliers_are_found_by_path(tmp_path):
    path = write_npz(tmp_path / "outliers.npz", num_images=8)
    outliers = load_outliers(open_source(path, "outliers"))
    np.testing.assert_array_equal(outliers, np.load(path)["train_images"])


@pytest.mark.usefixtures("empty_places")
@pytest.mark.parametrize(
    ("name", "error", "reason"),
    [
        ("cifar100", FileNotFoundError, "cifar100: not found"),
        ("gone.npz", ValueError, "Expected a path that exists"),
        ("imagenet_32", ValueError, "Did you mean 'imagenet32'"),
        ("imagenet32", FileNotFoundError, "imagenet32: not found"),
    ],
)
def test_outliers_that_are_not_there_are_named(name, error, reason):
    with pytest.raises(error, match=reason):
        open_source(name, "outliers", DataOptions(download=False))


def stages_of(config, seeds=(1, 2)):
    stages = []
    for seed in seeds:
        stage = stage_config(config, "finetune", init="base")
        stages.append(type(stage)(**{**vars(stage), "seed": seed}))
    return stages


def test_runs_that_share_images_read_them_once(tmp_path, monkeypatch):
    outliers = write_npz(tmp_path / "outliers.npz", num_images=8)
    config = tiny_config(
        tmp_path, stage="finetune", objective="energy", outliers=outliers, max_outliers=5
    )
    first, second = stages_of(config)
    images = TrainingImages(config, [first, second])
    data = images.of(first)
    assert len(data.outliers) == 5 and len(data.training[0]) == 24
    assert images.of(second).outliers is data.outliers
    assert images.of(second).training is data.training
    plain = stage_config(tiny_config(tmp_path, objective="ce"), "finetune", init="base")
    assert images.of(plain).outliers is None


def test_runs_that_hold_out_by_their_seed_read_each_their_own(tmp_path):
    config = tiny_config(tmp_path, objective="ce", holdout=0.25)
    first, second = stages_of(config)
    images = TrainingImages(config, [first, second])
    assert np.any(images.of(first).validation[0] != images.of(second).validation[0])


def test_missing_outliers_are_an_error_before_anything_is_read(tmp_path):
    config = tiny_config(
        tmp_path, stage="finetune", objective="energy", outliers=str(tmp_path / "gone.npz")
    )
    with pytest.raises(ValueError, match="Expected a path that exists"):
        TrainingImages(config, stages_of(config))
