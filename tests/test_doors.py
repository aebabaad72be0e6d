import pytest

import kerasood


@pytest.mark.parametrize("name", [*kerasood.__all__, "detectors", "metrics", "thresholds", "zoo"])
def test_every_public_name_is_there(name):
    assert name in dir(kerasood)
    assert getattr(kerasood, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'kerasood' has no attribute 'trust_me'"):
        _ = kerasood.trust_me
