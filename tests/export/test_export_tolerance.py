"""How far a file's score may be from Keras's: by its spread, not by its size."""

import copy
import importlib

import keras
import numpy as np
import pytest
from tiny_models import ood_model, random_images, small_network

from kerasood import export
from kerasood.detectors import Energy, ViM
from kerasood.evaluation.outputs import collect
from kerasood.export.checks.units import EXACT, score_spread, unit_of
from kerasood.extractor.build import build_extractor, head_of
from kerasood.serving import OODModel

TFLITE = export.FORMATS["tflite"]
# Accepted: 1, 2, 3, with a standard deviation of sqrt(2 / 3).
SCORES = {
    "score": np.array([1, 2, 3, 50], "float32"),
    "is_ood": np.array([False, False, False, True]),
    "energy": np.array([-7, 0.5, 2, 0], "float32"),
}
SPREAD = np.sqrt(2 / 3)


def test_the_spread_is_that_of_accepted_images():
    assert score_spread(SCORES) == pytest.approx(SPREAD)
    one_accepted = {"score": np.array([1.0, 3.0, 5.0]), "is_ood": np.array([False, True, True])}
    assert score_spread(one_accepted) == pytest.approx(np.sqrt(8 / 3))
    alike = {"score": np.full(3, 0.1, "float32"), "is_ood": np.zeros(3, bool)}
    assert score_spread(alike) == 1


def test_units_by_hand():
    np.testing.assert_array_equal(unit_of("energy", SCORES), [7, 1, 2, 1])
    np.testing.assert_allclose(unit_of("score", SCORES), [SPREAD] * 4)
    # The threshold 3.5 is 2.5, 1.5, 0.5 and 46.5 away.
    limits = np.full(4, 3.5, "float32")
    np.testing.assert_allclose(unit_of("score", SCORES, limits), [2.5, 1.5, SPREAD, 46.5])
    np.testing.assert_allclose(unit_of("score", SCORES, limits, spread=9.0), [9, 9, 9, 46.5])
    # Where float32 has no more digits: a 500th of the score.
    far = {**SCORES, "score": SCORES["score"] + 1e6}
    np.testing.assert_allclose(unit_of("score", far), [2000] * 4, rtol=1e-3)


@pytest.mark.parametrize(("scale", "shift"), [(1e-3, 0), (400, 0), (1, 90), (1e-2, -0.5)])
def test_shift_and_scale_of_a_score_do_not_matter(scale, shift):
    limits = np.full(4, 3.5)
    other = {**SCORES, "score": scale * SCORES["score"].astype("float64") + shift}
    units = unit_of("score", other, scale * limits + shift)
    np.testing.assert_allclose(units, scale * unit_of("score", SCORES, limits), rtol=1e-6)


@pytest.fixture(scope="module")
def far_scores(tmp_path_factory):
    """A .tflite file whose scores are near -140 and spread over two: Keras's answers too."""
    network = small_network()
    model = ood_model(network, Energy(temperature=100.0))
    images = random_images(model.image_shape, num_images=20)
    path = tmp_path_factory.mktemp("far") / "model.tflite"
    return TFLITE.write(model, path, {}), images, export.eager_outputs(model, images)


def test_a_hundredth_of_the_spread_is_refused_where_the_size_would_allow_it(far_scores):
    path, images, expected = far_scores
    spread = score_spread(expected)
    accepted = int(np.flatnonzero(~expected["is_ood"])[0])
    distance = 0.01 * spread
    assert distance < 1e-4 * np.abs(expected["score"]).min()
    report = export.verify(path, images, expected)
    assert report.differences["score"].relative < EXACT.score / 5
    shifted = {**expected, "score": expected["score"].copy()}
    shifted["score"][accepted] -= np.float32(distance)
    with pytest.raises(export.ExportMismatch, match=f"Expected score=.* for image {accepted} "):
        export.verify(path, images, shifted)
    all_shifted = {**expected, "score": expected["score"] + np.float32(distance)}
    with pytest.raises(export.ExportMismatch, match="Expected score="):
        export.verify(path, images, all_shifted)


def test_wrong_files_are_refused(far_scores, tmp_path):
    path, images, expected = far_scores
    swapped = {**expected, "score": expected["energy"], "energy": expected["score"]}
    with pytest.raises(export.ExportMismatch, match="Expected energy="):
        export.verify(path, images, swapped)
    with pytest.raises(export.ExportMismatch, match="Expected energy="):
        export.verify(path, images, {name: output[::-1] for name, output in expected.items()})
    network = small_network()
    kernel, bias = network.layers[-1].get_weights()
    network.layers[-1].set_weights([kernel * np.float32(1.001), bias])
    other = TFLITE.write(
        ood_model(network, Energy(temperature=100.0)), tmp_path / "model.tflite", {}
    )
    with pytest.raises(export.ExportMismatch, match="Expected energy="):
        export.verify(other, images, expected)


def test_decisions_may_differ_only_within_the_tolerance(far_scores, monkeypatch):
    """A file whose score lies beyond the threshold by less than is allowed, and by more."""
    path, images, expected = far_scores
    verify = importlib.import_module("kerasood.export.checks.verify")
    threshold = np.float32(export.read_metadata(path)["threshold"])
    nearest = int(np.argmin(np.where(expected["is_ood"], np.inf, threshold - expected["score"])))
    spread = score_spread(expected)
    right = {name: output.copy() for name, output in expected.items()}
    right["score"][nearest] = threshold - np.float32(2e-4 * spread)
    for step, allowed in ((2e-4, True), (2e-3, False)):
        answered = {name: output.copy() for name, output in right.items()}
        answered["score"][nearest] = threshold + np.float32(step * spread)
        answered["is_ood"][nearest] = True
        monkeypatch.setattr(verify, "_answers", lambda *_, a=answered: [("it", a)])
        if allowed:
            assert export.verify(path, images, right).num_near_threshold >= 1
        else:
            with pytest.raises(export.ExportMismatch, match=f"score=.*image {nearest} from it"):
                export.verify(path, images, right)


def residual_of_a_thousandth():
    """A network whose features leave their principal space by a thousandth, as ViM measures it."""
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3), dtype="uint8", name="images")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 64, offset=-2)(images))
    features = keras.layers.Dense(16)(x)
    network = keras.Model(images, keras.layers.Dense(4)(features))
    kernel, bias = network.layers[-2].get_weights()
    mixing = np.random.default_rng(0).normal(size=(6, 10))
    kernel[:, 6:] = kernel[:, :6] @ mixing + 1e-3 * kernel[:, 6:]
    network.layers[-2].set_weights([kernel, bias])
    return network


def test_vim_passes_where_alpha_magnifies_rounding_and_no_other_alpha_does(tmp_path):
    network = residual_of_a_thousandth()
    extractor = build_extractor(network)
    training = collect(extractor, [random_images((8, 8, 3), num_images=60)])
    detector = ViM(dim=6).fit(training, training["logits"].argmax(axis=1), head_of(extractor))
    model = ood_model(network, detector)
    images = random_images(model.image_shape, num_images=60)
    expected = export.eager_outputs(model, images)
    # Without the magnified part there would be nothing to see.
    assert np.linalg.norm(detector.basis_) > 1000 and np.ptp(expected["score"]) > 10
    path = TFLITE.write(model, tmp_path / "model.tflite", {})
    report = export.verify(path, images, expected)
    assert report.differences["energy"].relative < 1e-5
    wrong = copy.copy(detector)
    wrong.basis_, wrong.shift_ = 1.01 * detector.basis_, 1.01 * detector.shift_
    wrong = OODModel(network, wrong, model.threshold)
    path = TFLITE.write(wrong, tmp_path / "wrong.tflite", {})
    with pytest.raises(export.ExportMismatch, match="Expected score="):
        export.verify(path, images, expected)


def test_golden_images_hold_a_file_to_the_spread_of_its_export(tmp_path):
    model = ood_model(small_network(), Energy())
    images = random_images(model.image_shape, num_images=40)
    folder = export.export_model(model, tmp_path, images=images, formats=("tflite",)).folder
    report = export.replay(folder)["tflite"]
    expected = export.eager_outputs(model, images)
    assert isinstance(report, export.Report)
    with np.load(folder / "golden.npz") as stored:
        arrays = dict(stored)
    assert arrays["keras/spread"] == pytest.approx(score_spread(expected))
    few = {name: arrays[f"keras/{name}"] for name in ("score", "is_ood")}
    assert abs(score_spread(few) / arrays["keras/spread"] - 1) > 0.01
    off = arrays["keras/score"] + np.float32(3e-3 * arrays["keras/spread"])
    np.savez(folder / "golden.npz", **{**arrays, "keras/score": off})
    assert isinstance(export.replay(folder)["tflite"], export.ExportMismatch)
