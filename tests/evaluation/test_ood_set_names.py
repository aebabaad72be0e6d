"""Names of OOD sets as a flag gives them."""

import pytest

from kerasood.evaluation.ood_sets import named_sets


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
