import re

import pytest

from kerasood.data.registry import DATASETS, find
from kerasood.data.roles import count_note, ood_names, overlap, role
from kerasood.reporting.paper_numbers import SETS

PAPER_SETS = {"textures", "svhn", "places365", "lsun_crop", "lsun_resize", "isun"}
OUTLIER_SETS = {"imagenet32", "random_images_300k", "outliers"}


def test_entries_are_complete():
    for name, spec in DATASETS.items():
        assert spec.name == name and spec.title
        assert spec.splits == ("train",) if spec.outliers else "test" in spec.splits
        assert (spec.tfds_name is not None) == (spec.source == "tfds")
        assert (spec.archive is not None) == (spec.source == "archive")
        assert spec.downloadable == (spec.source in ("tfds", "archive"))
        assert bool(spec.how_to_get) == (spec.source in ("tfds", "archive", "manual"))
        assert spec.synthetic == (spec.source == "generated")
        assert set(spec.near_for + spec.never_for + spec.only_for) <= set(DATASETS)
        if spec.archive:
            assert re.fullmatch("[0-9a-f]{32}", spec.archive.md5)
            assert {*spec.archive.url.split("?")[0].split("/")} >= {spec.archive.file}
            assert spec.archive.md5 in spec.how_to_get and spec.archive.url in spec.how_to_get


def test_the_papers_six_sets():
    assert set(SETS) == PAPER_SETS <= set(DATASETS)


def test_stand_ins_name_a_published_set_and_are_not_in_the_paper():
    stand_ins = {name: spec for name, spec in DATASETS.items() if spec.stand_in_for}
    assert {name: spec.stand_in_for for name, spec in stand_ins.items()} == {
        "scenes_crop": "LSUN-Crop",
        "scenes_resize": "LSUN-Resize",
    }
    assert not PAPER_SETS & set(stand_ins)


@pytest.mark.parametrize(
    ("name", "num_images", "note"),
    [
        ("svhn", 26_032, ""),
        ("svhn", 7_136, "7,136 of 26,032 images"),
        ("places365", 36_500, "36,500 images, more than the usual 10,000"),
        ("scenes_crop", 12, ""),
        ("./mine", 12, ""),
    ],
)
def test_incomplete_sets_are_told_apart(name, num_images, note):
    assert count_note(name, num_images) == note


def test_every_set_of_the_paper_says_how_many_images_it_has():
    counts = {name: DATASETS[name].published_images for name in PAPER_SETS}
    assert counts == {
        "textures": 5640,
        "svhn": 26032,
        "places365": 10000,
        "lsun_crop": 10000,
        "lsun_resize": 10000,
        "isun": 8925,
    }


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'svhn'.*Received: 'SVNH'"):
        find("SVNH")
    with pytest.raises(ValueError, match=r"digits_heldout.* Received: 'zzzz'"):
        find("zzzz")


@pytest.mark.parametrize(
    ("name", "in_name", "expected"),
    [
        ("cifar100", "cifar10", "near"),
        ("cifar10", "cifar100", "near"),
        ("tiny_imagenet_crop", "cifar100", "near"),
        ("tiny_imagenet_resize", "digits", "far"),
        ("digits_heldout", "digits", "near"),
        ("svhn", "cifar10", "far"),
        ("photos", "digits", "far"),
        ("blobs", "digits", "synthetic"),
        ("imagenet32", "cifar10", "outliers"),
        ("outliers", "digits", "outliers"),
        ("./holiday", "cifar10", "far"),
        ("cifar100", "./holiday", "far"),
    ],
)
def test_role(name, in_name, expected):
    assert role(name, in_name) == expected


@pytest.mark.parametrize("in_name", [*DATASETS, "./my_images"])
def test_ood_names_exclude_the_set_itself_and_shared_classes(in_name):
    names = ood_names(in_name)
    assert in_name not in names and not OUTLIER_SETS & set(names)
    assert ("digits_heldout" in names) == (in_name == "digits")
    if in_name in ("svhn", "mnist", "digits", "digits_heldout"):
        assert not {"svhn", "mnist", "digits"} & set(names)
    else:
        assert {"svhn", "mnist", "digits"} <= set(names)
    assert list(names) == [name for name in DATASETS if name in names]


def test_ood_names_of_a_users_own_set_are_all_but_the_heldout_digits():
    others = {"digits_heldout"} | OUTLIER_SETS
    assert set(ood_names("./my_images")) == set(DATASETS) - others


def test_outlier_sets():
    assert {name for name, spec in DATASETS.items() if spec.outliers} == OUTLIER_SETS


def test_the_choice_of_places_images_is_stated():
    spec = DATASETS["places365"]
    assert spec.first == 10_000 and "36,500 images, the first 10,000 by name" in spec.how_to_get
    assert all(spec.first is None for name, spec in DATASETS.items() if name != "places365")


@pytest.mark.parametrize(
    ("outliers", "ood", "reason"),
    [
        ("imagenet32", "tiny_imagenet_crop", "may share images: both come from ImageNet"),
        ("outliers", "tiny_imagenet_resize", "may share images: both come from ImageNet"),
        ("/data/outliers.npz", "tiny_imagenet_resize", "may share images"),
        ("tiny_imagenet_crop", "some/tiny_imagenet_resize.npy", "may share images"),
        ("places365", "scenes_crop", "both come from Places2"),
        ("lsun_crop", "lsun_resize", "both come from LSUN"),
        ("svhn", "svhn", "svhn is the set of outliers that the model was trained with"),
        ("./mine/", "mine", "mine is the set of outliers"),
        ("/data/svhn.npz", "svhn", "/data/svhn.npz and svhn are both SVHN"),
    ],
)
def test_overlap_says_why(outliers, ood, reason):
    assert reason in overlap(outliers, ood)
    assert overlap(ood, outliers) is not None


@pytest.mark.parametrize(
    ("outliers", "ood"),
    [
        ("imagenet32", "svhn"),
        ("outliers", "places365"),
        ("random_images_300k", "cifar100"),
        ("cifar10", "cifar100"),
        ("./mine.npz", "tiny_imagenet_crop"),
        ("lsun_crop", "scenes_crop"),
    ],
)
def test_no_overlap_is_known(outliers, ood):
    assert overlap(outliers, ood) is None
