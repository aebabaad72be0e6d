"""Each detector against numbers worked by hand and the properties that are its own."""

import numpy as np
import pytest

from kerasood.detectors import MSP, ODIN, Energy, MaxLogit

# Softmax 1/4 and 3/4, then a quarter each, then a class that wins by far.
LOGITS = {
    "two classes": np.log([[1.0, 3.0]]),
    "four equal": np.full((1, 4), 2.0),
    "certain": np.array([[-50.0, 100.0, 0.0]]),
}


def score(detector, logits):
    return np.asarray(detector.score({"logits": np.asarray(logits, "float32")}))


@pytest.mark.parametrize(
    ("detector", "expected"),
    [
        (MSP(), {"two classes": -0.75, "four equal": -0.25, "certain": -1.0}),
        (MaxLogit(), {"two classes": -np.log(3), "four equal": -2.0, "certain": -100.0}),
        (
            Energy(),
            {"two classes": -np.log(4), "four equal": -2 - np.log(4), "certain": -100.0},
        ),
        # -2 log(1 + sqrt 3), and -2 (1 + log 4).
        (
            Energy(temperature=2.0),
            {"two classes": -2 * np.log(1 + 3**0.5), "four equal": -2 - 2 * np.log(4)},
        ),
    ],
    ids=["MSP", "MaxLogit", "Energy", "Energy at T=2"],
)
def test_scores_worked_by_hand(detector, expected):
    for case, value in expected.items():
        np.testing.assert_allclose(score(detector, LOGITS[case]), [value], rtol=1e-6, err_msg=case)


@pytest.mark.parametrize(
    ("detector", "moves"), [(MSP(), 0.0), (MaxLogit(), -3.0), (Energy(), -3.0)]
)
def test_a_constant_added_to_all_logits_moves_all_but_msp(detector, moves):
    logits = np.random.default_rng(0).normal(0, 2, (9, 5))
    np.testing.assert_allclose(
        score(detector, logits + 3), score(detector, logits) + moves, rtol=1e-5
    )


@pytest.mark.parametrize("detector", [MSP(), MaxLogit(), Energy(), Energy(3.0)])
def test_the_order_of_the_classes_does_not_matter(detector):
    logits = np.random.default_rng(0).normal(0, 2, (9, 5))
    np.testing.assert_allclose(
        score(detector, logits[:, [3, 0, 4, 1, 2]]), score(detector, logits), rtol=1e-6
    )


def test_msp_lies_between_minus_one_and_minus_one_over_k():
    scores = score(MSP(), np.random.default_rng(0).normal(0, 5, (200, 5)))
    assert np.all((-1 <= scores) & (scores <= -0.2))


def test_where_the_softmax_is_saturated_only_msp_cannot_tell_images_apart():
    saturated = [[50.0, 0.0], [100.0, 0.0]]
    first, second = score(MSP(), saturated)
    assert first == second == -1
    for detector in (MaxLogit(), Energy()):
        np.testing.assert_allclose(score(detector, saturated), [-50, -100])


def test_energy_becomes_max_logit_as_the_temperature_falls():
    logits = np.random.default_rng(0).normal(0, 2, (9, 5))
    np.testing.assert_allclose(
        score(Energy(1e-3), logits), score(MaxLogit(), logits), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", [Energy, ODIN])
@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_not_positive_is_refused(kind, temperature):
    with pytest.raises(ValueError, match=f"temperature > 0.* Received: temperature={temperature}"):
        score(kind(temperature), [[1.0, 2.0]])
