"""Names of OOD sets as a flag gives them."""

import pathlib

import numpy as np
import pytest

from kerasood.data.source import ArraySource
from kerasood.evaluation.ood_sets import named_sets, own_sets, set_entry
from kerasood.evaluation.protocols import PROTOCOLS


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    for name in ("photos", "a=b", "svhn"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("item", "name", "path"),
    [
        ("all", "all", "all"),
        ("textures", "textures", "textures"),
        ("photos", "photos", "photos"),
        ("mine=photos", "mine", "photos"),
        ("a=b", "a=b", "a=b"),
        ("mine=a=b", "mine", "a=b"),
        ("x=y=photos", "x=y", "photos"),
        ("far=textures", "far", "textures"),
        ("mine=gone", "mine", "gone"),
        ("mine=", "mine", "mine"),
    ],
)
def test_a_name_ends_where_a_path_begins(item, name, path):
    assert named_sets([item]) == {name: path}


@pytest.mark.parametrize("items", [["in=photos"], ["x=photos", "x=a=b"], ["train"]])
def test_sets_that_would_be_confused_are_refused(items):
    with pytest.raises(ValueError, match="under a name of its own.* Received: "):
        named_sets(items)


IMAGES = np.zeros((40, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("ood_sets", "own"),
    [
        (named_sets(["svhn=photos"]), {"svhn"}),
        (named_sets(["svhn=isun", "textures"]), {"svhn"}),
        ({"svhn": pathlib.Path("svhn/"), "isun": pathlib.Path("a/isun")}, {"isun"}),
        ({"svhn": IMAGES, "mine": IMAGES}, {"svhn"}),
        ({"svhn": ArraySource("svhn", IMAGES), "isun": ArraySource("mine", IMAGES)}, {"isun"}),
        ("svhn", set()),
        (["svhn", "all", "mine"], set()),
    ],
)
def test_a_registered_name_is_of_its_set_alone(ood_sets, own):
    assert own_sets(ood_sets) == own


@pytest.mark.parametrize(("protocol", "role"), [("full", "far"), ("openood", "other")])
def test_own_images_are_never_reported_as_a_published_set(protocol, role):
    told = "cifar100", ArraySource("x", IMAGES), "cifar10", 100, PROTOCOLS[protocol]
    assert set_entry(*told, own=True) == {
        "name": "cifar100", "title": "cifar100", "role": role, "num_images": 40,
        "published_images": None, "note": "the user's own images, not CIFAR-100",
    }
    published = set_entry(*told)
    assert (published["title"], published["role"]) == ("CIFAR-100", "near")
    assert published["note"] == "40 of 10,000 images"
