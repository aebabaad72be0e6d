"""KNN and NNGuide against numbers worked by hand; their bank."""

import numpy as np
import pytest
from detector_examples import LABELS, OUTPUTS_IN, TRAINING
from detector_rows import arrays, close, score

from kerasood.detectors import KNN, NNGuide

COMPASS = arrays(features=[[1, 0], [0, 2], [-3, 0], [0, -1]])


@pytest.mark.parametrize(("k", "expected"), [(1, 0), (2, 2**0.5), (3, 2**0.5), (4, 2), (50, 2)])
def test_knn_worked_by_hand(k, expected):
    detector = KNN(k).fit(COMPASS)
    close(score(detector, features=[[5, 0], [0, -0.1]]), [expected, expected], atol=1e-3)
    close(score(detector, features=[[0, 0]]), [1])


def test_knn_does_not_depend_on_the_length_of_features():
    detector = KNN(k=3).fit(TRAINING)
    features = OUTPUTS_IN["features"]
    close(score(detector, features=1000 * features), score(detector, features=features))


def test_knn_tells_close_neighbours_apart():
    """Unit features of one class lie within 1 % of each other."""
    generator = np.random.default_rng(0)
    bank, tests = (100 + generator.normal(0, 1, (size, 64)) for size in (300, 20))
    detector = KNN(k=5).fit(arrays(features=bank))
    unit = [rows / np.linalg.norm(rows, axis=1)[:, None] for rows in (bank, tests)]
    distances = np.linalg.norm(unit[0] - unit[1][:, None], axis=2)
    close(score(detector, features=tests), np.sort(distances, axis=1)[:, 4], rtol=1e-3)


@pytest.mark.parametrize("kind", [KNN, NNGuide])
def test_blocks_of_rows_and_of_the_bank_change_nothing(kind, monkeypatch):
    detector = kind(k=20).fit(TRAINING)
    whole = detector.score(OUTPUTS_IN)
    monkeypatch.setattr("kerasood.detectors._math.bank.POINTS", 16)
    monkeypatch.setattr("kerasood.detectors._math.bank.PRODUCTS", 16 * 7)
    close(detector.score(OUTPUTS_IN), whole)


@pytest.mark.parametrize("kind", [KNN, NNGuide])
def test_the_bank_is_a_draw_of_the_training_images_that_the_seed_decides(kind):
    banks = [kind(bank_size=20, seed=seed).fit(TRAINING).bank_ for seed in (0, 0, 1)]
    assert banks[0].shape == (20, 8)
    np.testing.assert_array_equal(banks[0], banks[1])
    assert (banks[0] != banks[2]).any()
    assert len(kind(bank_size=None).fit(TRAINING).bank_) == len(LABELS)
    assert len(kind(bank_size=10**6).fit(TRAINING).bank_) == len(LABELS)
    lengths = np.unique(kind(bank_size=239).fit(TRAINING).bank_, axis=0)
    assert len(lengths) == 239


@pytest.mark.parametrize("kind", [KNN, NNGuide])
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"k": 0}, "k >= 1.* Received: k=0"),
        ({"k": 2.5}, "k >= 1.* Received: k=2.5"),
        ({"bank_size": 0}, "bank_size >= 1.* Received: bank_size=0"),
        ({"bank_size": 10.0}, "bank_size >= 1, a whole number. Received: bank_size=10.0"),
        ({"bank_size": 5, "seed": -1}, "seed >= 0.* Received: seed=-1"),
    ],
)
def test_neighbours_and_banks_that_cannot_be_are_refused(kind, params, message):
    with pytest.raises(ValueError, match=message):
        kind(**params).fit(TRAINING)


def test_nnguide_worked_by_hand():
    # logsumexp of (a, a) is a + log 2: confidences 1, 2 and 3, and 4 for the image.
    bank = arrays(
        features=[[2, 0], [0, 3], [-1, 0]], logits=np.array([[1, 1], [2, 2], [3, 3]]) - np.log(2)
    )
    image = {"features": [[7, 0]], "logits": np.array([[4, 4]]) - np.log(2)}
    # Similarities 1 * 1, 2 * 0 and 3 * -1.
    for k, guidance in ((1, 1), (2, 1 / 2), (3, -2 / 3), (9, -2 / 3)):
        close(score(NNGuide(k).fit(bank), **image), [-4 * guidance])
