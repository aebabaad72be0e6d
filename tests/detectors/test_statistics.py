"""Moments in one pass against NumPy's over everything; whitening; memory and time of a fit."""

import time
import tracemalloc

import numpy as np
import pytest
from detector_twins_features import TWINS

from kerasood.detectors import DETECTORS
from kerasood.detectors._math.rows import column_means, row_blocks
from kerasood.detectors._math.statistics import class_sums, moments, whitened_classes, whitening

NAMES = ["mahalanobis", *TWINS]


def example(num_rows=500, num_features=5, num_classes=3, offset=0.0):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, num_classes, num_rows)
    rows = generator.normal(0, 1, (num_rows, num_features)) + 2.0 * labels[:, None] + offset
    return rows.astype("float32"), labels


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_moments_equal_those_of_all_rows_at_once(offset):
    rows, labels = example(offset=offset)
    fitted = moments(rows, labels, 4)
    precise = rows.astype("float64")
    np.testing.assert_allclose(fitted.mean, precise.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fitted.covariance, np.cov(precise.T, bias=True), rtol=1e-9)
    means = np.array([precise[labels == k].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(fitted.class_means[:3], means, rtol=1e-12)
    assert np.isnan(fitted.class_means[3]).all()
    np.testing.assert_array_equal(fitted.counts, np.bincount(labels, minlength=4))
    within = np.cov((precise - means[labels]).T, bias=True)
    np.testing.assert_allclose(fitted.within_covariance, within, rtol=1e-8, atol=1e-9)


def test_moments_do_not_depend_on_the_blocks(monkeypatch):
    rows, labels = example(3000)
    whole = moments(rows, labels, 3)
    monkeypatch.setattr("kerasood.detectors._math.statistics.row_blocks", in_blocks_of_seven)
    for name in ("mean", "covariance", "class_means", "within_covariance"):
        streamed = getattr(moments(rows, labels, 3), name)
        np.testing.assert_allclose(streamed, getattr(whole, name), rtol=1e-9)


def in_blocks_of_seven(*arrays, dtype):
    return row_blocks(*arrays, rows=7, dtype=dtype)


def test_blocks_hold_every_row_once_and_a_mebibyte():
    rows = np.arange(40_000 * 64, dtype="float32").reshape(-1, 64)
    blocks = [block for (block,) in row_blocks(rows)]
    assert max(block.nbytes for block in blocks) == 2**20
    assert {block.dtype for block in blocks} == {np.dtype("float64")}
    np.testing.assert_array_equal(np.concatenate(blocks), rows)
    assert {block.dtype for (block,) in row_blocks(rows, dtype=None)} == {np.dtype("float32")}


def test_class_sums_worked_by_hand():
    rows = np.array([[1.0, 2], [3, 4], [10, 20]])
    np.testing.assert_array_equal(
        class_sums(rows, np.array([2, 2, 0]), 4), [[10, 20], [0, 0], [4, 6], [0, 0]]
    )
    assert not class_sums(rows[:0], np.array([], int), 4).any()


def test_whitening_inverts_a_covariance_and_drops_directions_without_variance():
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    covariance = rotation @ np.diag([9.0, 4.0, 1.0, 1e-14]) @ rotation.T
    whitener = whitening(covariance)
    assert whitener.shape == (4, 3)
    np.testing.assert_allclose(whitener.T @ covariance @ whitener, np.eye(3), atol=1e-12)
    inverse = rotation @ np.diag([1 / 9, 1 / 4, 1, 0]) @ rotation.T
    np.testing.assert_allclose(whitener @ whitener.T, inverse, atol=1e-7)


def test_directions_of_small_variance_count_and_rounding_does_not():
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    # The third is what a trained DenseNet has; the last is rounding.
    variances = np.array([1.0, 1e-3, 1e-9, 1e-15])
    whitener = whitening(rotation @ np.diag(variances) @ rotation.T)
    assert whitener.shape == (4, 3)
    distances = ((rotation[:, :3] * np.sqrt(variances[:3])).T @ whitener) ** 2
    np.testing.assert_allclose(distances.sum(axis=1), 1.0, rtol=1e-4)


def test_whitening_without_any_variance_is_a_column_of_zeros():
    np.testing.assert_array_equal(whitening(np.zeros((3, 3))), np.zeros((3, 1)))


def test_the_centre_is_what_float32_keeps_and_the_means_are_around_it():
    rows, labels = example(offset=1000.1)
    centre, whitener, means = whitened_classes(rows, labels)
    np.testing.assert_array_equal(centre, centre.astype("float32"))
    of_first = rows[labels == 0].astype("float64").mean(axis=0)
    np.testing.assert_allclose(means[0], (of_first - centre) @ whitener, rtol=1e-8)


def fitting(num_rows, num_features, num_classes):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, num_classes, num_rows)
    features = generator.standard_normal((num_rows, num_features), dtype="float32")
    features[np.arange(num_rows), labels % num_features] += 3
    kernel = generator.normal(0, 1, (num_features, num_classes))
    logits = features @ kernel.astype("float32")
    outputs = {"features": features, "logits": logits, "hidden/early": features[:, 1:]}
    return outputs, labels, (kernel, np.zeros(num_classes))


@pytest.fixture(scope="module")
def large():
    return fitting(80_000, 32, 10)


@pytest.mark.parametrize("name", NAMES)
def test_fitting_takes_far_less_memory_than_a_float64_copy(name, large):
    outputs, labels, head = large
    detector = DETECTORS[name]()
    if hasattr(detector, "bank_size"):
        detector.set_params(bank_size=1000)
    tracemalloc.start()
    detector.fit(outputs, labels, head)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.4 * outputs["features"].astype("float64").nbytes


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_million_images_are_fitted_in_seconds(name, million):
    outputs, labels, head = million
    start = time.perf_counter()
    DETECTORS[name]().fit(outputs, labels, head)
    seconds = time.perf_counter() - start
    print(f"{name}: {seconds:.1f} s for {len(labels):,} x {outputs['features'].shape[1]}")
    assert seconds < 120


@pytest.fixture(scope="module")
def million():
    return fitting(1_000_000, 128, 100)


def test_column_means_are_those_of_float64():
    for num_rows in (1, 64, 5000):
        rows = (np.random.default_rng(0).normal(100, 1, (num_rows, 3))).astype("float32")
        means = column_means(rows)
        assert means.dtype == np.float64
        np.testing.assert_allclose(means, rows.astype("float64").mean(axis=0), rtol=2e-7)


def test_column_means_of_values_whose_sum_float32_cannot_hold():
    np.testing.assert_allclose(column_means(np.full((200, 2), 3e38, "float32")), 3e38, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_column_means_show_a_value_that_is_not_finite(value):
    rows = np.ones((100, 2), "float32")
    rows[70, 1] = value
    np.testing.assert_array_equal(np.isfinite(column_means(rows)), [True, False])
