import pytest

from kerasood.data.passes import images_per_pass


@pytest.mark.parametrize(
    ("side", "forward", "gradient"),
    [(32, 250, 62), (96, 250, 62), (224, 45, 11), (600, 6, 1), (4000, 1, 1)],
)
def test_of_large_images_a_pass_takes_fewer(side, forward, gradient):
    assert images_per_pass(side**2) == forward
    assert images_per_pass(side**2, gradient=True) == gradient


@pytest.mark.parametrize(("side", "forward", "gradient"), [(32, 128, 32), (224, 45, 11)])
def test_of_small_images_too_a_caller_may_want_fewer(side, forward, gradient):
    assert images_per_pass(side**2, at_most=128) == forward
    assert images_per_pass(side**2, gradient=True, at_most=128) == gradient
