"""A detector of one's own, from its class to the exported file."""

import numpy as np
import pytest
from tiny_models import random_images, small_network

from kerasood import array_ops as ops
from kerasood import detectors
from kerasood.detectors.saving import load_detector, save_detector
from kerasood.export import export_model
from kerasood.export.metadata import read_metadata
from kerasood.serving import OODModel


class Margin(detectors.Detector):
    """Minus the distance between the two largest logits."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def _score(self, outputs):
        largest, _ = ops.top_k(outputs["logits"], 2)
        return self.scale * (largest[:, 1] - largest[:, 0])


@pytest.fixture
def registered():
    detectors.register("margin")(Margin)
    yield
    del detectors.DETECTORS["margin"]


@pytest.mark.usefixtures("registered")
def test_a_registered_detector_is_built_saved_and_exported(tmp_path):
    detector = detectors.build("margin")
    assert detector.score({"logits": np.float32([[1, 4, 2]])}).tolist() == [-2]
    model = OODModel(small_network(), Margin(2.0), -1.0)
    model.save(tmp_path / "model.keras")
    save_detector(tmp_path / "margin.npz", Margin(2.0))
    assert load_detector(tmp_path / "margin.npz").scale == 2.0
    exported = export_model(
        model, tmp_path / "exported", images=random_images((8, 8, 3)), formats=("tflite",)
    )
    assert read_metadata(exported.paths["tflite"])["detector"] == "margin"


@pytest.mark.usefixtures("registered")
def test_a_rectifier_stands_before_a_registered_detector():
    assert isinstance(detectors.build("react+margin").detector, Margin)


def test_an_unregistered_detector_is_refused_when_the_model_is_built():
    with pytest.raises(ValueError, match="Expected a registered detector.* Received: .*Margin"):
        OODModel(small_network(), Margin(), 0.0)
    with pytest.raises(ValueError, match="Received: detector=Margin"):
        OODModel(small_network(), detectors.ReAct(detector=Margin()), 0.0)


@pytest.mark.usefixtures("registered")
def test_a_file_of_a_detector_that_is_not_registered_says_so(tmp_path):
    save_detector(tmp_path / "margin.npz", Margin())
    detectors.DETECTORS.pop("margin")
    try:
        with pytest.raises(ValueError, match="must be imported first.*Received: 'margin'"):
            load_detector(tmp_path / "margin.npz")
    finally:
        detectors.register("margin", Margin)


@pytest.mark.parametrize("name", ["react+mine", "a,b", "", "all", 3])
def test_a_name_that_commands_could_not_take_is_refused(name):
    with pytest.raises(ValueError, match="Expected a name of letters"):
        detectors.register(name, Margin)


def test_a_name_belongs_to_one_class():
    with pytest.raises(ValueError, match="Received: 'energy', which is kerasood"):
        detectors.register("energy", Margin)
    assert detectors.DETECTORS["energy"] is detectors.Energy
    detectors.register("energy", detectors.Energy)


def test_only_detectors_are_registered():
    with pytest.raises(ValueError, match="Expected a subclass of kerasood.detectors.Detector"):
        detectors.register("mine", dict)
