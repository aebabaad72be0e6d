"""A threshold per predicted class, from the model through every format it travels in."""

import keras
import numpy as np
import pytest
from old_runtimes import answers_no_images
from tflite_scores import tflite_ops
from tiny_models import answers, constant_network, random_images, small_network

from kerasood import export
from kerasood.detectors import MSP, Energy, MaxLogit
from kerasood.export import ExportMismatch
from kerasood.serving import OODModel, threshold_per_image


@pytest.fixture(scope="module")
def images():
    return random_images((8, 8, 3), 40)


@pytest.fixture(scope="module")
def model(images):
    """Thresholds between the scores of each class, so that each has images on either side."""
    network = small_network()
    plain = answers(OODModel(network, Energy(), 0.0), images)
    predicted = plain["logits"].argmax(axis=-1)
    used = np.unique(predicted)
    assert len(used) >= 2
    thresholds = np.full(4, -77.0, "float32")
    for i in used:
        low, high = np.sort(plain["score"][predicted == i])[[0, -1]]
        thresholds[i] = (low + high) / 2
    return OODModel(network, Energy(), thresholds)


@pytest.fixture(scope="module")
def exported(model, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("per_class")
    return export.export_model(model, folder, images=images, metadata={}, model_name="tiny")


def expected_flags(outputs, thresholds):
    return np.array(
        [
            score > thresholds[int(np.argmax(logits))]
            for score, logits in zip(outputs["score"], outputs["logits"], strict=True)
        ]
    )


def test_worked_by_hand():
    zeros = np.zeros((2, 8, 8, 3), np.uint8)
    network = constant_network([1.0, 5.0, 2.0])
    # The score is -5 and class 1 is predicted: its threshold alone decides.
    for thresholds, flagged in (([-9, -5, -9], False), ([9, -5.5, 9], True)):
        outputs = answers(OODModel(network, MaxLogit(), thresholds), zeros)
        assert outputs["is_ood"].tolist() == [flagged] * 2


@pytest.mark.parametrize(
    ("logits", "first"), [([2.0, 7.0, 7.0], 1), ([4.0, 1.0, 4.0], 0), ([3.0, 3.0, 3.0], 0)]
)
def test_of_equal_logits_the_first_decides(logits, first):
    thresholds = (10.0, 20.0, 30.0)
    chosen = np.asarray(threshold_per_image(thresholds, np.array([logits], "float32")))
    assert chosen.tolist() == [thresholds[first]]
    model = OODModel(constant_network(logits), MSP(), np.where(np.arange(3) == first, -2.0, 2.0))
    assert answers(model, np.zeros((1, 8, 8, 3), np.uint8))["is_ood"].tolist() == [True]


def test_the_threshold_of_the_predicted_class_decides(model, images):
    outputs = answers(model, images)
    np.testing.assert_array_equal(outputs["is_ood"], expected_flags(outputs, model.threshold))
    assert 0 < outputs["is_ood"].sum() < len(images)
    predicted = outputs["logits"].argmax(axis=-1)
    mixed = [i for i in np.unique(predicted) if len(set(outputs["is_ood"][predicted == i])) == 2]
    assert len(mixed) >= 2
    one_for_all = expected_flags(outputs, np.full(4, np.median(outputs["score"])))
    assert not np.array_equal(outputs["is_ood"], one_for_all)


def test_saved_in_safe_mode_and_read_back(model, images, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.threshold == model.threshold
    assert isinstance(loaded.threshold, tuple) and len(loaded.threshold) == 4
    expected, received = answers(model, images), answers(loaded, images)
    for name in expected:
        np.testing.assert_array_equal(expected[name], received[name])


def test_exported_files_decide_alike(model, images, exported):
    expected = answers(model, images)
    for name, path in exported.paths.items():
        outputs = export.run_exported(path, images)
        np.testing.assert_array_equal(outputs["is_ood"], expected["is_ood"])
        assert exported.reports[name].num_near_threshold == 0
        if answers_no_images(name):
            assert export.run_exported(path, images[:0])["is_ood"].shape == (0,)
        assert export.read_metadata(path)["threshold"] == list(model.threshold)


def test_tflite_holds_builtin_ops_only(exported):
    ops = tflite_ops(exported.paths["tflite"])
    assert not [name for name in ops if name.startswith("Flex") or "CUSTOM" in name]
    assert "BITCAST" not in ops


def test_verify_knows_each_images_threshold(model, images, exported):
    expected = export.eager_outputs(model, images)
    flipped = {**expected, "is_ood": ~expected["is_ood"]}
    limit = np.float32(model.threshold[int(np.argmax(expected["logits"][0]))])
    message = f"image 0 from Keras: .* against threshold={limit:.9g}. ".replace("+", r"\+")
    with pytest.raises(ExportMismatch, match=message):
        export.verify(exported.paths["tflite"], images, flipped)


def test_equal_logits_decide_alike_in_exported_files(tmp_path):
    images = random_images((8, 8, 3), 4)
    model = OODModel(constant_network([1.0, 4.0, 4.0]), MaxLogit(), [9.0, -5.0, 9.0])
    exported = export.export_model(
        model, tmp_path, images=images, metadata={}, model_name="ties", formats=("tflite",)
    )
    assert export.run_exported(exported.paths["tflite"], images)["is_ood"].all()


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        ([0.0, 1.0], r"one for each of 4 classes. Received: threshold with shape=\(2,\)"),
        (np.zeros((4, 1)), r"Received: threshold with shape=\(4, 1\)"),
        ([0.0, 1.0, np.nan, 0.0], "Expected a finite threshold"),
        ([0.0, 1.0, 1e39, 0.0], "Expected a finite threshold"),
    ],
)
def test_other_thresholds_are_refused(threshold, message):
    with pytest.raises(ValueError, match=message):
        OODModel(small_network(), Energy(), threshold)
