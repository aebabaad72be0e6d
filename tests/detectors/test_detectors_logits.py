"""Detectors on logits and on outputs made for them, against numbers worked by hand."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from detector_twins_logits import sharpened
from scipy.special import logsumexp
from scipy.stats import weibull_min

from kerasood.detectors import (
    GEN,
    GODIN,
    MCD,
    MSP,
    Energy,
    Entropy,
    GradNorm,
    KLMatching,
    OpenMax,
    ReAct,
    Reject,
    build,
    kl_matching,
    openmax,
)
from kerasood.detectors._math.predicted import predicted_mask
from kerasood.detectors._math.rows import row_blocks
from kerasood.detectors.openmax import LARGEST_SHAPE, fit_weibull

QUARTER = np.log([[1.0, 3.0]])
FOUR_EQUAL = np.full((1, 4), 2.0)


def score(detector, logits, **others):
    outputs = {"logits": logits, **others}
    outputs = {name: np.asarray(values, "float32") for name, values in outputs.items()}
    return np.asarray(detector.score(outputs))


def random_logits(num_images=200, num_classes=5, spread=3.0, seed=0):
    return np.random.default_rng(seed).normal(0, spread, (num_images, num_classes))


@pytest.mark.parametrize(
    ("detector", "logits", "expected"),
    [
        (Entropy(), QUARTER, np.log(4) - 0.75 * np.log(3)),
        (Entropy(), FOUR_EQUAL, np.log(4)),
        # p = exp(-20) of the other class: p (1 + 20), far below float32's grid around 1.
        (Entropy(), [[20.0, 0.0]], 21 * np.exp(-20)),
        (GEN(1.0), QUARTER, 2 * 3 / 16),
        (GEN(1.0), FOUR_EQUAL, 4 * 3 / 16),
        (GEN(0.5), QUARTER, 2 * (3 / 16) ** 0.5),
        (GEN(1.0, top_classes=1), FOUR_EQUAL, 3 / 16),
        (GEN(1.0, top_classes=9), FOUR_EQUAL, 12 / 16),
        # p = exp(-200) and 1 - exp(-200), to the power of 0.1 each.
        (GEN(), [[200.0, 0.0]], 2 * np.exp(-20)),
    ],
)
def test_scores_of_the_softmax_worked_by_hand(detector, logits, expected):
    np.testing.assert_allclose(score(detector, logits), [expected], rtol=2e-6)


@pytest.mark.parametrize("detector", [Entropy(), GEN(), GEN(0.5, 3)])
def test_neither_a_constant_nor_the_order_of_classes_matters_to_the_softmax(detector):
    logits = random_logits(9)
    expected = score(detector, logits)
    np.testing.assert_allclose(score(detector, logits + 3), expected, rtol=1e-5)
    np.testing.assert_allclose(score(detector, logits[:, [3, 0, 4, 1, 2]]), expected, rtol=1e-5)


def test_entropy_and_gen_are_precise_for_the_most_certain_images():
    logits = random_logits(spread=30.0).astype("float32").astype("float64")
    log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    log_others = np.array([
        [logsumexp(np.delete(row, k)) for k in range(5)] - logsumexp(row) for row in logits
    ])
    # -log p from log (1 - p), which is precise where p is nearly 1.
    precise = np.minimum(log_others, -0.5)
    surprises = np.where(log_others > -0.5, -log_p, -np.log1p(-np.exp(precise)))
    entropies = (np.exp(log_p) * surprises).sum(axis=1)
    assert entropies.min() < 1e-20
    np.testing.assert_allclose(score(Entropy(), logits), entropies, rtol=2e-5, atol=1e-36)
    expected = np.exp(0.1 * (log_p + log_others)).sum(axis=1)
    np.testing.assert_allclose(score(GEN(), logits), expected, rtol=1e-5)


@pytest.mark.parametrize(("num_classes", "top"), [(10, 10), (100, 100), (1000, 100), (3000, 300)])
def test_gen_takes_all_of_few_classes_and_a_tenth_of_many(num_classes, top):
    expected = top * (1 / num_classes * (1 - 1 / num_classes)) ** 0.1
    np.testing.assert_allclose(score(GEN(), np.zeros((1, num_classes))), [expected], rtol=1e-5)


def test_the_predicted_mask_marks_the_first_of_equal_logits():
    logits = np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 5.0], [0.0, 2.0, 2.0]], "float32")
    np.testing.assert_array_equal(
        predicted_mask(logits), [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    )


def test_kl_matching_worked_by_hand():
    # Both predicted as class 0: its mean is (0.825, 0.175), and class 1 has none.
    training = {"logits": np.log([[0.75, 0.25], [0.9, 0.1]])}
    detector = KLMatching().fit(training)
    logits = np.log([[0.5, 0.5], [0.825, 0.175], [0.1, 0.9]])
    expected = [
        0.5 * np.log(0.25 / (0.825 * 0.175)),
        0,
        0.1 * np.log(0.1 / 0.825) + 0.9 * np.log(0.9 / 0.175),
    ]
    np.testing.assert_allclose(score(detector, logits), expected, rtol=1e-6, atol=1e-7)


def test_kl_matching_takes_the_nearest_of_the_classes():
    detector = KLMatching().fit({"logits": np.log([[0.9, 0.1], [0.2, 0.8]])})
    expected = 0.5 * np.log(0.25 / (0.2 * 0.8))
    np.testing.assert_allclose(score(detector, [[0.0, 0.0]]), [expected], rtol=1e-6)


def test_kl_matching_stays_finite_where_a_class_has_no_probability():
    detector = KLMatching().fit({"logits": [[0.0, -900.0], [0.0, -1000.0]]})
    assert np.isfinite(score(detector, [[0.0, -900.0], [-900.0, 0.0]])).all()


def test_grad_norm_worked_by_hand():
    # ||(1, -2)||_1 = 3 and ||(1/4, 3/4) - 1/2||_1 = 1/2.
    np.testing.assert_allclose(score(GradNorm(), QUARTER, features=[[1.0, -2.0]]), [-1.5])


def test_grad_norm_is_the_norm_of_the_gradient():
    generator = np.random.default_rng(0)
    features, kernel = generator.normal(size=(6, 4)), generator.normal(size=(4, 3))
    kernel = tf.Variable(kernel)
    norms = []
    for row in features:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(tf.nn.log_softmax(row[None] @ kernel))
        norms.append(np.abs(tape.gradient(loss, kernel)).sum())
    scores = score(GradNorm(), features @ kernel.numpy(), features=features)
    np.testing.assert_allclose(scores, -np.array(norms), rtol=1e-5)


@pytest.mark.parametrize("shape", [0.7, 2.0, 15.0])
def test_weibull_distributions_are_those_of_the_largest_likelihood(shape):
    values = weibull_min.rvs(shape, scale=3.0, size=40, random_state=0)
    fitted_shape, fitted_scale = fit_weibull(values)
    expected, _, expected_scale = weibull_min.fit(values, floc=0)
    np.testing.assert_allclose((fitted_shape, fitted_scale), (expected, expected_scale), rtol=1e-3)
    np.testing.assert_allclose(
        (fitted_shape, fitted_scale), sharpened(values, expected, expected_scale), rtol=1e-9
    )


def test_equal_values_are_a_step():
    assert fit_weibull(np.array([2.0, 2.0])) == (LARGEST_SHAPE, pytest.approx(2.0))


def two_classes():
    """Means (4, 0) and (0, 4), every distance to them 1: their distributions are a step at 1."""
    return {"logits": np.array([[3.0, 0], [5, 0], [0, 3], [0, 5]])}, np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("num_revised", "logits", "expected"),
    [
        # At the mean nothing is given away.
        (1, [4.0, 0.0], -np.log(np.exp(4) + 1)),
        # Three away from it, the first logit is given away and (0, 0) remains.
        (1, [7.0, 0.0], 7 - np.log(2)),
        (1, [7.0, 2.0], 7 - np.log(1 + np.exp(2))),
        # The second largest logit gives away half of itself.
        (2, [7.0, 2.0], 8 - np.log(1 + np.exp(1))),
        (5, [7.0, 2.0], 8 - np.log(1 + np.exp(1))),
    ],
)
def test_openmax_worked_by_hand(num_revised, logits, expected):
    detector = OpenMax(num_revised=num_revised).fit(*two_classes())
    np.testing.assert_allclose(score(detector, [logits]), [expected], rtol=1e-6)


def test_openmax_learns_nothing_about_a_class_without_two_right_answers():
    outputs, labels = two_classes()
    detector = OpenMax(num_revised=1).fit(outputs, np.where(labels == 1, 0, labels))
    np.testing.assert_allclose(score(detector, [[0.0, 7.0]]), [-np.log(1 + np.exp(7))], rtol=1e-6)
    with pytest.raises(ValueError, match="correctly classified.* Received: none"):
        OpenMax().fit(outputs, 1 - labels)


@pytest.mark.parametrize(
    ("kind", "module"), [(OpenMax, openmax), (KLMatching, kl_matching)]
)
def test_fits_in_blocks_equal_fits_of_the_whole(kind, module, monkeypatch):
    logits, labels = random_logits(90), np.arange(90) % 5
    logits[np.arange(90), labels] += 5
    whole = kind().fit({"logits": logits}, labels)
    monkeypatch.setattr(module, "row_blocks", functools.partial(row_blocks, rows=7))
    in_blocks = kind().fit({"logits": logits}, labels)
    np.testing.assert_allclose(
        score(in_blocks, logits), score(whole, logits), rtol=1e-5, atol=1e-6
    )


def test_g_odin_scores_the_numerators_or_the_divisor():
    outputs = {"numerators": np.array([[0.25, -1.0, 0.5]]), "divisor": np.array([[0.75]])}
    assert GODIN().score(outputs) == [-0.5]
    assert GODIN("divisor").score(outputs) == [-0.75]
    stepping = GODIN(magnitude=0.01)
    assert stepping.input_step == 0.01
    assert stepping.input_loss(outputs) == [-0.5]


def test_reject_scores_the_log_odds_of_the_reject_classes():
    logits, rejects = np.log([[1.0, 2.0], [1.0, 1.0]]), np.log([[1.0, 2.0], [4.0, 2.0]])
    scores = score(Reject(), logits, reject_logits=rejects)
    np.testing.assert_allclose(scores, [0.0, np.log(3)], atol=1e-6)
    sure = score(Reject(), np.array([[90.0, 0.0], [80.0, 0.0]]), reject_logits=np.zeros((2, 1)))
    np.testing.assert_allclose(sure, [-90.0, -80.0], rtol=1e-6)


def test_mcd_is_between_0_and_2():
    two = np.log([[1.0, 3.0]])
    logits = np.concatenate([two, two, [[90.0, 0.0]]])
    other = np.concatenate([two, two[:, ::-1], [[0.0, 90.0]]])
    np.testing.assert_allclose(score(MCD(), logits, logits_2=other), [0, 1, 2], atol=1e-6)
    with pytest.raises(ValueError, match="as many classes. Received: 2 and 3"):
        score(MCD(), logits, logits_2=np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        (GEN(0.0), r"gamma in \(0, 1\]. Received: 0.0"),
        (GEN(1.5), r"gamma in \(0, 1\]. Received: 1.5"),
        (GEN(top_classes=0), "top_classes >= 1.* Received: top_classes=0"),
        (GEN(top_classes=2.0), "top_classes >= 1, a whole number. Received: top_classes=2.0"),
        (OpenMax(tail_size=1), "tail_size >= 2.* Received: tail_size=1"),
        (OpenMax(tail_size=10.0), "tail_size >= 2, a whole number. Received: tail_size=10.0"),
        (OpenMax(num_revised=0), "num_revised >= 1.* Received: num_revised=0"),
        (OpenMax(num_revised=2.0), "num_revised >= 1, a whole.* Received: num_revised=2.0"),
        (GODIN("h"), "scored='numerators' or 'divisor'. Received: 'h'"),
    ],
)
def test_parameters_out_of_range_are_refused(detector, message):
    outputs, labels = two_classes()
    with pytest.raises(ValueError, match=message):
        detector.fit(outputs, labels).score(outputs)
    with pytest.raises(ValueError, match="magnitude >= 0. Received: magnitude=-1"):
        _ = GODIN(magnitude=-1).input_step


def test_whole_numbers_of_numpy_are_taken():
    outputs, labels = two_classes()
    for kind, params in ((GEN, {"top_classes": 2}), (OpenMax, {"tail_size": 3, "num_revised": 1})):
        ours, theirs = (
            kind(**{name: make(value) for name, value in params.items()})
            .fit(outputs, labels).score(outputs)
            for make in (int, np.int64)
        )
        np.testing.assert_array_equal(ours, theirs)


def test_detectors_are_built_by_name():
    assert isinstance(build("energy"), Energy)
    combined = build("react+msp")
    assert isinstance(combined, ReAct) and isinstance(combined.detector, MSP)
    assert str(build("react+dice+energy")) == "ReAct(detector=DICE(detector=Energy()))"
    with pytest.raises(ValueError, match="out of ash_b, .* Received: 'x'"):
        build("reakt+msp+x")
    with pytest.raises(ValueError, match="rectifier before a . out of ash_b, .* Received: 'msp'"):
        build("msp+react")
