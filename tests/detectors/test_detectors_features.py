"""The detectors on features against numbers worked by hand, and the properties that are theirs."""

import numpy as np
import pytest
from detector_examples import LABELS, OUTPUTS_IN, OUTPUTS_OUT, TRAINING
from detector_head import HEAD
from detector_rows import arrays, close, score
from detector_twins_features import TWINS, mahalanobis

from kerasood.detectors import (
    DETECTORS,
    FDBD,
    NCI,
    SHE,
    Mahalanobis,
    MultiLayerMahalanobis,
    RelativeMahalanobis,
    Residual,
    ViM,
)
from kerasood.detectors._math.predicted import predicted_class
from kerasood.detectors._math.residual_space import principal_dimension

NAMES = ["mahalanobis", *TWINS]


def test_the_predicted_class_is_the_first_with_the_largest_logit():
    logits = np.array([[1, 3, 2], [5, 5, 5], [-1, -2, -1], [-0.0, 0.0, -1]], "float32")
    np.testing.assert_array_equal(predicted_class(logits), [1, 0, 0, 0])


@pytest.mark.parametrize("name", ["mahalanobis", "relative_mahalanobis"])
def test_a_small_variance_weighs_as_the_inverse_says(name):
    # A condition number of 8e6, which the features of a small trained network had.
    generator = np.random.default_rng(0)
    directions, _ = np.linalg.qr(generator.normal(size=(8, 8)))
    mixing = directions * np.geomspace(1, 8e6**-0.5, 8) @ directions.T
    labels = np.arange(400) % 4
    class_means = generator.normal(0, 2, (4, 8))
    rows = (generator.normal(size=(400, 8)) + class_means[labels]) @ mixing + 1
    other = arrays(features=(1.5 * generator.normal(size=(50, 8)) + class_means[0]) @ mixing + 1)
    fitted = arrays(features=rows)
    actual = DETECTORS[name]().fit(fitted, labels).score(other)
    expected = (
        TWINS[name](fitted, labels, other) if name in TWINS
        else mahalanobis(fitted["features"], labels, other["features"])
    )
    close(actual, expected, rtol=1e-3, atol=1e-2)


# Means 2 and -2, variance 1 around them and 5 around the mean of all, 0.
TWO_CLASSES = arrays(features=[[1], [3], [-1], [-3]]), np.array([0, 0, 1, 1])


def test_mahalanobis_worked_by_hand():
    detector = Mahalanobis().fit(*TWO_CLASSES)
    close(score(detector, features=[[2], [0], [10]]), [0, 2, 32])


def test_relative_mahalanobis_worked_by_hand():
    detector = RelativeMahalanobis().fit(*TWO_CLASSES)
    # Half of 0 - 4 / 5, of 4 - 0 and of 64 - 100 / 5.
    close(score(detector, features=[[2], [0], [10]]), [-0.4, 2, 22])


def test_relative_mahalanobis_ignores_what_no_class_differs_in():
    labels, within, noise = np.meshgrid([0, 1], [-1.0, 1.0], [-1.0, 1.0], indexing="ij")
    along, noise, labels = (8 * labels + within).ravel(), noise.ravel(), labels.ravel()
    alone = RelativeMahalanobis().fit(arrays(features=along[:, None]), labels)
    both = RelativeMahalanobis().fit(arrays(features=np.stack([along, noise], axis=1)), labels)
    expected = score(alone, features=[[0.5], [4], [20]])
    close(score(both, features=[[0.5, 30], [4, -30], [20, 0]]), expected)
    assert score(both, features=[[4, 0]]) > score(both, features=[[0, 0]])


@pytest.mark.parametrize("kind", [Mahalanobis, RelativeMahalanobis])
def test_mahalanobis_scores_do_not_depend_on_the_coordinates(kind):
    mix = np.random.default_rng(0).normal(0, 1, (8, 8))
    plain = kind().fit(TRAINING, LABELS)
    mixed = kind().fit(arrays(features=TRAINING["features"] @ mix + 5), LABELS)
    for outputs in (OUTPUTS_IN, OUTPUTS_OUT):
        moved = score(mixed, features=outputs["features"] @ mix + 5)
        close(moved, score(plain, features=outputs["features"]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [Mahalanobis, RelativeMahalanobis])
def test_features_far_from_zero_and_of_unequal_scale_keep_their_precision(kind):
    scales = np.array([1e-2, 1e-1, 1, 1, 1, 1, 10, 10])
    offset = np.full(8, 100.0)
    features = [outputs["features"].astype("float64") for outputs in (TRAINING, OUTPUTS_IN)]
    moved, tested = ((rows * scales + offset).astype("float32") for rows in features)
    # The same numbers, exactly, brought back in float64.
    back, tested_back = ((rows.astype("float64") - offset) / scales for rows in (moved, tested))
    precise = kind().fit({"features": back}, LABELS)
    detector = kind().fit({"features": moved}, LABELS)
    actual = np.asarray(detector.score({"features": tested}))
    close(actual, precise.score(arrays(features=tested_back)), rtol=1e-3, atol=1e-4)


# Scores 3/4, 0 and 3/4 in each class: mean 1/2 and standard deviation 1 / sqrt 8.
LAYER = np.array([[1], [2], [3], [-1], [-2], [-3]], "float32")


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, [-2 * 2**0.5, 22 * 2**0.5]),
        ((1, 0), [-(2**0.5), -(2**0.5)]),
        ((0, 2), [-2 * 2**0.5, 46 * 2**0.5]),
    ],
)
def test_multi_layer_mahalanobis_worked_by_hand(weights, expected):
    layers = {"features": LAYER, "hidden/early": 10 * LAYER}
    detector = MultiLayerMahalanobis(weights).fit(layers, np.array([0, 0, 0, 1, 1, 1]))
    # Scores 0 and 0 in the features, 0 and 3/4 * 16 = 12 in the other layer: standardised,
    # -sqrt 2 and (12 - 1/2) sqrt 8 = 23 sqrt 2.
    close(score(detector, features=[[2], [2]], **{"hidden/early": [[20], [60]]}), expected)


def test_a_layer_whose_scores_do_not_vary_says_nothing():
    layers = {"features": LAYER, "hidden/early": np.ones((6, 2), "float32")}
    detector = MultiLayerMahalanobis().fit(layers, np.array([0, 0, 0, 1, 1, 1]))
    close(score(detector, features=[[2]], **{"hidden/early": [[9, 9]]}), [-(2**0.5)])


def test_scores_that_vary_by_rounding_alone_count_as_equal():
    features, labels = TWO_CLASSES[0]["features"] / 3, TWO_CLASSES[1]
    layers = {"features": features, "hidden/early": features / 7 + 1}
    detector = MultiLayerMahalanobis().fit(layers, labels)
    close(score(detector, features=[[9]], **{"hidden/early": [[9]]}), [0])


def test_multi_layer_mahalanobis_refuses_other_layers_and_weights():
    detector = MultiLayerMahalanobis().fit(TRAINING, LABELS)
    fewer = {name: rows for name, rows in TRAINING.items() if name != "hidden/late"}
    with pytest.raises(ValueError, match="3 outputs .* Received: features, hidden/early"):
        detector.score(fewer)
    other = {**TRAINING, "hidden/late": TRAINING["hidden/late"][:, :2]}
    with pytest.raises(ValueError, match=r"hidden/late of shape \(N, 8\). .*\(240, 2\)"):
        detector.score(other)
    with pytest.raises(ValueError, match=r"3 finite weights.* Received: \(1.0, 2.0\)"):
        MultiLayerMahalanobis((1.0, 2.0)).fit(TRAINING, LABELS)
    with pytest.raises(ValueError, match=r"features, hidden/.*Received: features"):
        MultiLayerMahalanobis().fit({"features": LAYER}, np.array([0, 0, 0, 1, 1, 1]))


# Origin (-1, 2); from it three to each side along the first feature, one along the second.
CROSS = arrays(
    features=[[2, 2], [-4, 2], [-1, 3], [-1, 1]], logits=[[3, 0], [-3, 0], [0, 1], [0, -1]]
)
CROSS_HEAD = np.eye(2), np.array([1.0, -2.0])


def test_residual_worked_by_hand():
    detector = Residual(dim=1).fit(CROSS, None, CROSS_HEAD)
    close(score(detector, features=[[7, 5], [-100, 2]]), [3, 0], atol=1e-4)
    everything = Residual(dim=0).fit(CROSS, None, CROSS_HEAD)
    close(score(everything, features=[[2, 6]]), [5])


def test_vim_worked_by_hand():
    detector = ViM(dim=1).fit(CROSS, None, CROSS_HEAD)
    # Largest logits 3, 0, 1, 0 and residuals 0, 0, 1, 1: alpha = 2.
    expected = 2 * 3 - np.log(np.exp(8) + np.exp(3))
    close(score(detector, features=[[7, 5]], logits=[[8, 3]]), [expected])


def test_vim_without_residuals_is_the_energy():
    # On one line through the origin, up to float32's rounding.
    line = np.array([[6.0], [-5.0], [5.0], [4 / 3]]) * [1, 1 / 7] + [-1, 2]
    detector = ViM(dim=1).fit(arrays(**{**CROSS, "features": line}), None, CROSS_HEAD)
    close(score(detector, features=[[7, 5]], logits=[[0, 0]]), [-np.log(2)])


@pytest.mark.parametrize("features", [[0, 0], [-1, 2], [1e-3, -1e3], [4, 4 + 1e-6]])
def test_vim_of_images_with_the_same_features_is_the_energy(features):
    # With (0, 0) the residuals are 1e-16, and logits of 9 would make an alpha of 1e17 of them.
    same = arrays(features=[features] * 4, logits=[[9, 1]] * 4)
    head = np.array([[0.3, 0.1], [0.7, -0.2]]), np.array([1.0, -2.0])
    detector = ViM(dim=1).fit(same, None, head)
    close(score(detector, features=[[7, 5], features], logits=[[0, 0], [0, 1]]),
          [-np.log(2), -np.log(1 + np.e)])


def test_vim_of_images_with_the_same_features_up_to_rounding_is_the_energy():
    generator = np.random.default_rng(0)
    features = 3 + generator.uniform(-2e-7, 2e-7, (40, 8))
    training = {"features": features.astype("float32"), "logits": TRAINING["logits"][:40]}
    assert np.ptp(training["features"]) > 0
    close(ViM().fit(training, None, HEAD).score(OUTPUTS_OUT),
          DETECTORS["energy"]().score(OUTPUTS_OUT))


@pytest.mark.parametrize("name", ["residual", "vim"])
@pytest.mark.parametrize("num_images", [1, 3, 4, 5])
def test_fewer_images_than_directions(name, num_images):
    """Up to four images lie in a principal space of four: which others it has must not matter."""
    few = {key: values[:num_images] for key, values in TRAINING.items()}
    actual = np.asarray(DETECTORS[name](dim=4).fit(few, None, HEAD).score(OUTPUTS_OUT))
    close(actual, TWINS[name](few, None, OUTPUTS_OUT), rtol=1e-3, atol=1e-4)
    turned, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    few["features"] = few["features"] @ turned
    images = {**OUTPUTS_OUT, "features": (OUTPUTS_OUT["features"] @ turned).astype("float32")}
    head = turned.T @ HEAD[0], HEAD[1]
    again = DETECTORS[name](dim=4).fit(few, None, head).score(images)
    close(again, actual, rtol=1e-3, atol=1e-3)


def test_features_that_are_always_zero_are_no_part_of_a_principal_space():
    features = np.random.default_rng(0).normal(size=(20, 4)) * [1, 1, 0, 0]
    detector = Residual(dim=3).fit(arrays(features=features), None, (np.eye(4), np.zeros(4)))
    close(score(detector, features=[[5, 5, 3, 4], [9, 9, 3, 0], [9, 9, 0, 3]]), [5, 3, 3])


@pytest.mark.parametrize(
    ("num_features", "dim"), [(1, 0), (2, 1), (128, 64), (512, 256), (768, 512), (2048, 1000)]
)
def test_the_principal_space_by_default(num_features, dim):
    assert principal_dimension(None, num_features) == dim


@pytest.mark.parametrize("kind", [Residual, ViM])
@pytest.mark.parametrize(("dim", "wanted"), [(8, "from 0 to 7"), (-1, ">= 0"), (4.0, "a whole")])
def test_a_principal_space_that_leaves_nothing_over_is_refused(kind, dim, wanted):
    with pytest.raises(ValueError, match=f"Expected dim .*{wanted}.* Received: dim={dim}"):
        kind(dim).fit(TRAINING, None, HEAD)


def test_an_origin_far_away_costs_little_precision():
    """Nearly equal columns of the head and a large bias put the origin far from all features."""
    kernel = np.array([[1.0, 1.0 + 1e-4], [1.0, 1.0]])
    head = kernel, np.array([0.0, 1.0])
    features = np.random.default_rng(0).normal(0, 1, (50, 2)).astype("float32")
    detector = Residual(dim=1).fit({"features": features}, None, head)
    origin = -np.linalg.pinv(kernel.T) @ head[1]
    assert np.linalg.norm(origin) > 1e4
    shifted = features.astype("float64") - origin
    _, directions = np.linalg.eigh(shifted.T @ shifted)
    close(score(detector, features=features), np.abs(shifted @ directions[:, 0]), atol=1e-4)


def test_she_worked_by_hand():
    training = arrays(
        features=[[1, 2], [3, 4], [9, 9], [0, 1], [7, 7]],
        logits=[[1, 0, 0], [2, 0, 0], [0, 3, 0], [0, 1, 0], [1, 0, 0]],
    )
    # Patterns (2, 3) and (0, 1); the third and last image are classified wrongly.
    detector = SHE().fit(training, np.array([0, 0, 0, 1, 2]))
    images = {"features": [[1, 1], [1, 1], [1, 1]], "logits": np.eye(3)}
    close(score(detector, **images), [-5, -1, 0])


def test_fdbd_worked_by_hand():
    # Weights (3, 0), (0, 4) and (0, 0): 5, 3 and 4 apart. The mean is zero.
    head = np.array([[3.0, 0, 0], [0, 4, 0]]), np.zeros(3)
    detector = FDBD().fit(arrays(features=[[1, 1], [-1, -1]], logits=np.ones((2, 3))), None, head)
    images = {"features": [[3, 4], [0, 2]], "logits": [[10, 5, 1], [0, 0, 8]]}
    # (5 / 5 + 9 / 3) / 2 / 5 and (8 / 3 + 8 / 4) / 2 / 2.
    close(score(detector, **images), [-0.4, -7 / 6])


def test_fdbd_at_the_mean_and_between_equal_weights_is_finite():
    head = np.array([[1.0, 1.0, 0.0]]), np.zeros(3)
    detector = FDBD().fit(arrays(features=[[1], [3]], logits=np.ones((2, 3))), None, head)
    at_mean, equal = score(detector, features=[[2], [5]], logits=[[3, 1, 1], [4, 3, 1]])
    assert np.isfinite(at_mean) and at_mean < -1e6
    close(equal, -3 / 1 / 2 / 3)


def test_nci_worked_by_hand():
    head = np.array([[1.0, 0.0], [2.0, -1.0]]), np.zeros(2)
    detector = NCI(alpha=0.01).fit(arrays(features=[[0, 0], [2, 2]], logits=np.eye(2)), None, head)
    images = {"features": [[4, 5], [-2, -3]], "logits": [[1, 0], [0, 1]]}
    # Centred (3, 4) and (-3, -4): 11 / 5 + 9 / 100, and 4 / 5 + 5 / 100.
    close(score(detector, **images), [-2.29, -0.85])


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf")])
def test_a_negative_weight_of_the_norm_is_refused(alpha):
    with pytest.raises(ValueError, match=f"alpha >= 0.* Received: alpha={alpha}"):
        NCI(alpha).fit(TRAINING, LABELS, HEAD)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["all equal", "one image", "one class", "two images"])
def test_degenerate_training_images_give_finite_scores(name, case):
    rows = {"all equal": np.zeros(40, int), "one image": [0], "two images": [0, 1]}.get(
        case, np.flatnonzero(LABELS == 1)
    )
    training = {key: values[rows] for key, values in TRAINING.items()}
    detector = DETECTORS[name]()
    if name.endswith("mahalanobis") and case.endswith(("one image", "two images")):
        with pytest.raises(ValueError, match="more than one image of a class"):
            detector.fit(training, LABELS[rows], HEAD)
        return
    detector.fit(training, LABELS[rows], HEAD)
    assert np.isfinite(detector.score(OUTPUTS_IN)).all()
    assert np.isfinite(detector.score(training)).all()
