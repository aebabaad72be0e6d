import functools

import numpy as np
import pytest

from kerasood.detectors._math import quantiles
from kerasood.detectors._math.quantiles import streamed_quantile
from kerasood.detectors._math.rows import row_blocks

SHARES = (0, 0.001, 0.1, 0.5, 0.85, 0.9, 0.999, 1)


def arrays():
    generator = np.random.default_rng(0)
    normal = generator.normal(0, 3, (400, 5)).astype("float32")
    return {
        "both signs": normal,
        "after a ReLU": np.maximum(normal, 0),
        "ties": np.round(normal),
        "many scales": (normal * 10.0 ** generator.integers(-30, 30, normal.shape)).astype("f4"),
        "one value": np.array([[-2.5]], "float32"),
        "two values": np.array([[1.0, 2.0]], "float32"),
        "constant": np.full((7, 3), 4.0, "float32"),
        "zeros of both signs": np.array([[0.0, -0.0], [-1.0, 1.0]], "float32"),
        "subnormal": np.array([[1e-42, 3e-42, -1e-42]], "float32"),
    }


@pytest.mark.parametrize("kind", arrays())
@pytest.mark.parametrize("share", SHARES)
def test_quantiles_are_those_of_numpy_on_the_sorted_values(kind, share, monkeypatch):
    monkeypatch.setattr(quantiles, "row_blocks", functools.partial(row_blocks, rows=64))
    array = arrays()[kind]
    expected = np.quantile(array.astype("float64"), share)
    np.testing.assert_allclose(streamed_quantile(array, share), expected, rtol=1e-12, atol=0)


def test_order_statistics_are_exact():
    values = np.random.default_rng(0).normal(size=(101, 1)).astype("float32")
    for rank in range(101):
        assert streamed_quantile(values, rank / 100) == pytest.approx(
            np.sort(values.ravel())[rank], rel=1e-12
        )


def test_float64_counts_as_float32():
    values = np.random.default_rng(0).normal(size=(50, 2))
    expected = np.quantile(values.astype("float32").astype("float64"), 0.9)
    assert streamed_quantile(values, 0.9) == pytest.approx(expected, rel=1e-12)
    assert abs(expected - np.quantile(values, 0.9)) < 1e-7


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_out_of_range_are_refused(share):
    with pytest.raises(ValueError, match=r"share in \[0, 1\]. Received"):
        streamed_quantile(np.ones((2, 2)), share)
