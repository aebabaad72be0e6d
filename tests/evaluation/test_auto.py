"""`detectors="auto"`: chosen from in-distribution images alone."""

import keras
import numpy as np
import pytest
from tiny_models import random_images, small_network

import kerasood
from kerasood.evaluation.auto import MARGIN_OF_A_BANK, has_bank, ranked, reason_of

IMAGES, LABELS = random_images((8, 8, 3), 80), np.arange(80) % 4
IN_DATA = {"train": (IMAGES[::-1] // 2, LABELS), "test": (IMAGES, LABELS)}


def test_a_bank_must_be_better_by_a_margin():
    assert has_bank("knn") and not has_bank("energy") and not has_bank("react")
    equal = {"knn": 0.9 + MARGIN_OF_A_BANK / 2, "energy": 0.9, "msp": 0.8}
    assert ranked(equal) == ["energy", "knn", "msp"]
    assert ranked({**equal, "knn": 0.9 + 2 * MARGIN_OF_A_BANK})[0] == "knn"


@pytest.mark.parametrize(
    ("aurocs", "said"),
    [
        ({"vim": 0.9, "energy": 0.8}, "90.00 %, energy as the runner-up 80.00 %. No"),
        (
            {"vim": 1.0, "energy": 0.999999, "msp": 1.0, "she": 0.9},
            "100.00 %, msp and energy no less: these outliers do not tell them apart. No",
        ),
        (
            {"knn": 0.9005, "energy": 0.9, "msp": 0.8},
            "90.00 %, knn as the runner-up 90.05 % (it keeps training images, and must win by",
        ),
        ({"energy": 0.9}, "90.00 %. No"),
    ],
)
def test_the_reason_says_what_came_close(aurocs, said):
    assert said in reason_of(aurocs, ranked(aurocs), 100)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return small_network()


def test_the_choice_says_why_and_no_ood_set_has_a_say(network, tmp_path):
    first, second = (
        kerasood.benchmark(network, IN_DATA, {"noise": images}, "auto", tpr=0.8)
        for images in (random_images((8, 8, 3), 20), IMAGES[:20] // 3)
    )
    chosen = first.results.chosen
    assert chosen == second.results.chosen
    ranking = {entry["detector"]: entry["auroc"] for entry in chosen["ranking"]}
    assert {"energy", "mahalanobis", "knn", "react"} <= set(ranking) and "odin" not in ranking
    assert ranked(ranking)[:2] == [chosen["detector"], chosen["runner_up"]]
    assert chosen["runner_up"] in chosen["reason"]
    assert set(first.results.detectors) == {"energy", chosen["detector"]}
    assert chosen["reason"] in first.table()
    params = chosen["params"]
    fitted = first.detectors["model"][chosen["detector"]]
    assert {name: getattr(fitted, name) for name in params} == params
    guard = first.guard()
    scored = guard.predict(IMAGES[:5])
    assert type(guard.detector) is type(fitted) and scored["score"].shape == (5,)
    assert guard.threshold == np.float32(first.results.thresholds[-1]["threshold"]["value"])


def test_the_default_tpr_of_a_guard_is_told(network):
    found = kerasood.benchmark(
        network, IN_DATA, {"noise": random_images((8, 8, 3), 20)}, ["msp", "energy"], tpr=0.8
    )
    with pytest.raises(ValueError, match="name of a detector out of msp, energy"):
        found.guard()
    guard = found.guard("msp")
    assert guard.calibration["tpr"] == 0.8
    with pytest.raises(ValueError, match="Expected a detector out of msp, energy"):
        found.guard("vim")
