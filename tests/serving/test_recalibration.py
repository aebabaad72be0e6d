import keras
import numpy as np
import pytest
from tiny_models import random_images, small_network

from kerasood.detectors import Energy, Mahalanobis
from kerasood.detectors.saving import fitted_arrays
from kerasood.export import export_model, read_calibration, read_metadata
from kerasood.extractor import build_extractor
from kerasood.serving import OODModel, recalibrate
from kerasood.thresholds import PerClassThreshold, Threshold, calibrate, calibrate_per_class


@pytest.fixture(scope="module")
def images():
    return random_images((8, 8, 3), 60)


@pytest.fixture(scope="module")
def model():
    return OODModel(small_network(), Energy(), -1000.0, name="in_use")


def test_a_new_threshold_for_the_same_weights(model, images):
    before = [weight.tobytes() for weight in model.get_weights()]
    assert model.predict(images)["is_ood"].all()
    new, threshold = recalibrate(model, images, tpr=0.8)
    outputs = new.predict(images)
    assert threshold == calibrate(outputs["score"], tpr=0.8)
    # k = ceil(61 * 0.8) = 49 of 60 images.
    assert outputs["is_ood"].sum() == 60 - 49
    assert new.threshold == threshold.value
    assert (new.name, model.threshold) == ("in_use", -1000.0)
    assert new.network is model.network
    assert [weight.tobytes() for weight in new.get_weights()] == before
    np.testing.assert_array_equal(outputs["score"], model.predict(images)["score"])


def test_per_class_on_request_and_then_by_habit(model, images):
    first, threshold = recalibrate(model, images, tpr=0.5, per_class=True)
    outputs = model.predict(images)
    predicted = outputs["logits"].argmax(axis=-1)
    assert threshold == calibrate_per_class(outputs["score"], predicted, 4, tpr=0.5)
    assert first.threshold == tuple(threshold.value.tolist())
    np.testing.assert_array_equal(
        first.predict(images)["is_ood"], ~threshold.accepts(outputs["score"], predicted)
    )
    again, threshold = recalibrate(first, images, tpr=0.9, guarantee="confidence")
    assert isinstance(threshold, PerClassThreshold)
    assert threshold.pooled.guarantee == "confidence"
    assert isinstance(recalibrate(again, images, per_class=False)[1], Threshold)


def test_images_in_batches(model, images):
    from_array = recalibrate(model, images, batch_size=7)[1]
    assert from_array.num_images == 60
    assert from_array.value == pytest.approx(recalibrate(model, images)[1].value, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:10], "at least 19 images. Received: scores_in with 10"),
        (lambda x: x[:0], "at least one, for 'images'"),
        (lambda x: x / 255, 'uint8 images, 0-255, .*preprocessing="scale_0_1"'),
        (lambda x: x[:, :7], r"\(N, 8, 8, 3\)"),
    ],
)
def test_unsuitable_images_are_refused(model, images, change, message):
    with pytest.raises(ValueError, match=message):
        recalibrate(model, change(images))


@pytest.mark.parametrize(
    ("name", "value"), [("tpr", "0.9"), ("tpr", None), ("confidence", "0.9"), ("tpr", True)]
)
def test_shares_that_are_no_numbers_are_refused_before_the_work(model, images, name, value):
    message = rf"Expected {name} in \(0, 1\). Received: {name}={value!r}"
    with pytest.raises(ValueError, match=message):
        recalibrate(model, None, **{name: value})
    with pytest.raises(ValueError, match=message):
        calibrate(np.arange(100.0), **{name: value})


def test_what_the_model_knows_survives_saving_recalibration_and_export(tmp_path):
    network, names = small_network(), ["frog", "cat", "dog", "newt"]
    images = random_images((8, 8, 3), 100)
    scores = OODModel(network, Energy(), 0.0).predict(images)["score"]
    model = OODModel(network, Energy(), calibrate(scores), class_names=names)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again, threshold = recalibrate(loaded, images[:50], tpr=0.9)
    assert loaded.class_names == again.class_names == tuple(names)
    assert loaded.calibration == calibrate(scores).to_json()
    assert again.calibration == threshold.to_json()
    formats = ["saved_model"]
    exported = export_model(again, tmp_path / "exported", images=images[:8], formats=formats)
    assert read_metadata(exported.folder)["class_names"] == names
    assert read_calibration(exported.folder) == threshold


@pytest.mark.parametrize("threshold", ["-5", True, None, [1.0, "2", 3.0, 4.0]])
def test_a_threshold_that_is_no_number_is_refused(threshold):
    with pytest.raises(ValueError, match="Expected a threshold, a number"):
        OODModel(small_network(), Energy(), threshold)


@pytest.mark.parametrize("names", ["abcd", ["a", "b"], ["a", "b", "c", "c"], ["a", "b", "c", 4]])
def test_class_names_that_are_not_those_of_the_classes_are_refused(names):
    with pytest.raises(ValueError, match="Expected a list of 4 class names .str., all different"):
        OODModel(small_network(), Energy(), 0.0, class_names=names)


def test_a_calibration_of_another_threshold_is_refused():
    calibration = calibrate(np.arange(100.0)).to_json()
    with pytest.raises(ValueError, match="Expected the calibration of this threshold, 0.0"):
        OODModel(small_network(), Energy(), 0.0, calibration=calibration)


def test_what_is_no_ood_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Expected an OODModel.* Received: Functional"):
        recalibrate(small_network(), random_images((8, 8, 3)))
    with pytest.raises(ValueError, match="Expected an OODModel.* Received: Functional"):
        export_model(small_network(), tmp_path, images=random_images((8, 8, 3)))
    with pytest.raises(ValueError, match="Expected images.* Received: None"):
        OODModel(small_network(), Energy(), 0.0).predict(None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda store: store["widths_"] - 1, "Expected features of shape"),
        (lambda store: np.full_like(store["widths_"], np.nan, "float32"), "Expected numbers"),
    ],
    ids=["another width", "not a number"],
)
def test_a_file_whose_detector_was_changed_is_refused(change, message):
    network, images = small_network(), random_images((8, 8, 3), 20)
    outputs = build_extractor(network).predict(images, verbose=0)
    detector = Mahalanobis().fit(outputs, np.arange(20) % 4)
    model = OODModel(network, detector, 0.0)
    store = fitted_arrays(detector)
    model.load_own_variables(store)
    store["widths_"] = change(store)
    with pytest.raises(ValueError, match=message):
        model.load_own_variables(store)
