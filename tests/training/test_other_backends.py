"""Models, objectives, training and detectors on JAX and PyTorch, without TensorFlow."""

import json

import numpy as np
import pytest
from other_backends import BACKENDS, run_on
from tiny_models import DETECTORS_FOR_ANY


@pytest.fixture(scope="module", params=BACKENDS)
def report(request):
    printed = json.loads(run_on(request.param, "train_without_tensorflow.py").splitlines()[-1])
    return printed | {"asked": request.param}


def test_it_ran_there_and_without_tensorflow(report):
    assert report["backend"] == report["asked"]
    assert report["tensorflow"] == []


def test_the_features_loss_is_cross_entropy_plus_penalty(report):
    history = report["features"]
    for loss, ce, l1 in zip(history["loss"], history["ce"], history["l1"], strict=True):
        assert ce > 0 and l1 > 0
        assert loss == pytest.approx(ce + 0.02 * l1, rel=1e-5)


def test_validation_loss_is_the_cross_entropy_of_the_trained_network(report):
    history = report["features"]
    assert history["val_loss"][-1] == pytest.approx(report["cross_entropy"], rel=1e-5)
    assert history["val_loss"] == pytest.approx(history["val_ce"], rel=1e-6)
    assert history["val_energy"][-1] == pytest.approx(np.mean(report["energy"]), rel=1e-5)


def test_a_run_trains_on_numpy_batches_at_the_logits_site(report):
    assert [row["epoch"] for row in report["run"]] == [1, 2]
    for row in report["run"]:
        assert row["ce"] > 0 and row["l1"] > 0
        assert row["loss"] == pytest.approx(row["ce"] + 0.01 * row["l1"], rel=1e-5)
    assert report["run"][-1]["learning_rate"] == pytest.approx(1e-6, rel=1e-2)


def test_outlier_runs_train_on_pairs_and_log_both_energies(report):
    for name in ("energy_run", "exposure_run"):
        assert [row["epoch"] for row in report[name]] == [1, 2]
        for row in report[name]:
            assert row["loss"] > row["ce"] > 0
            assert row["energy"] < 0 and row["energy_out"] < 0
            assert row["energy"] != row["energy_out"]


def test_logit_norm_minimises_another_loss_than_the_cross_entropy_it_logs(report):
    for row in report["logit_norm_run"]:
        assert row["loss"] > 0 and row["ce"] > 0
        assert row["loss"] != pytest.approx(row["ce"], rel=1e-3)


@pytest.mark.parametrize("name", DETECTORS_FOR_ANY)
def test_detectors_learn_and_score_as_on_tensorflow(report, name):
    outputs = {key: np.array(values, "float32") for key, values in report["outputs"].items()}
    detector = DETECTORS_FOR_ANY[name]()
    detector.fit(outputs, outputs["logits"].argmax(axis=1), report["head"])
    np.testing.assert_allclose(
        report["scores"][name], detector.score(outputs), rtol=1e-4, atol=1e-5
    )
