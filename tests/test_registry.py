import re

import pytest

from kerasood.data.registry import DATASETS, count_note, find, ood_names, role

PAPER_SETS = {"textures", "svhn", "places365", "lsun_crop", "lsun_resize", "isun"}


def test_entries_are_complete():
    for name, spec in DATASETS.items():
        assert spec.name == name and spec.title and "test" in spec.splits
        assert (spec.tfds_name is not None) == (spec.source == "tfds")
        assert bool(spec.how_to_get) == (spec.source in ("tfds", "manual"))
        assert spec.synthetic == (spec.source == "generated")
        assert set(spec.near_for + spec.never_for + spec.only_for) <= set(DATASETS)
        assert spec.md5 is None or re.fullmatch("[0-9a-f]{32}", spec.md5)
        assert spec.md5 is None or spec.md5 in spec.how_to_get


def test_the_papers_six_sets():
    assert {name for name, spec in DATASETS.items() if spec.in_paper} == PAPER_SETS


def test_stand_ins_name_a_published_set_and_are_not_in_the_paper():
    stand_ins = {name: spec for name, spec in DATASETS.items() if spec.stand_in_for}
    assert {name: spec.stand_in_for for name, spec in stand_ins.items()} == {
        "scenes_crop": "LSUN-Crop",
        "scenes_resize": "LSUN-Resize",
    }
    assert not any(spec.in_paper for spec in stand_ins.values())


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
    with pytest.raises(ValueError, match="Did you mean 'svhn'.*Received: name='SVNH'"):
        find("SVNH")
    with pytest.raises(ValueError, match=r"exists\. Received: name='zzzz'"):
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
        ("./holiday", "cifar10", "far"),
        ("cifar100", "./holiday", "far"),
    ],
)
def test_role(name, in_name, expected):
    assert role(name, in_name) == expected


@pytest.mark.parametrize("in_name", [*DATASETS, "./my_images"])
def test_ood_names_exclude_the_set_itself_and_shared_classes(in_name):
    names = ood_names(in_name)
    assert in_name not in names
    assert ("digits_heldout" in names) == (in_name == "digits")
    if in_name in ("svhn", "mnist", "digits", "digits_heldout"):
        assert not {"svhn", "mnist", "digits"} & set(names)
    else:
        assert {"svhn", "mnist", "digits"} <= set(names)
    assert list(names) == [name for name in DATASETS if name in names]


def test_ood_names_of_a_users_own_set_are_all_but_the_heldout_digits():
    assert set(ood_names("./my_images")) == set(DATASETS) - {"digits_heldout"}
