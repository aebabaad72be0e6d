import numpy as np
import pytest

from benchmarks import export
from kerasood.detectors import DETECTORS
from kerasood.extractor.build import output_names
from kerasood.networks.wide_resnet import WideResNet

pytestmark = pytest.mark.slow


def test_costs_are_shares_of_the_bare_processor_time():
    bare = np.array([[9.0, 1.0], [9.0, 2.0], [9.0, 4.0]])
    seconds = np.array([[1.0, 1.1], [1.0, 2.6], [1.0, 4.8]])
    # 10, 30 and 20 % more in the three rounds.
    np.testing.assert_allclose(export.costs_of(seconds, bare), [0.15, 0.2, 0.25])


@pytest.fixture(scope="module")
def extractors():
    return export.extractors_of(WideResNet(10, 1, 10))


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_finds_an_extractor(name, extractors):
    detector = DETECTORS[name]()
    chosen = export.extractor_for(detector, extractors)
    assert not detector.missing(output_names(chosen))
    others = {"multi_layer_mahalanobis": 1, "mcd": 2, "reject": 3, "g_odin": 4}
    assert extractors.index(chosen) == others.get(name, 0)


@pytest.mark.parametrize("kind", ["saved_model", "tflite"])
def test_files_of_each_format_are_timed(kind, capsys):
    detectors = ("energy", "mcd", "odin")
    config = export.ExportBenchmarkConfig(
        10, 1, kind, detectors, batch_size=1, images=1, rounds=2, training_images=64,
        largest_cost=9.0,
    )
    export.main(config)
    words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert {"energy", "mcd"} <= set(words)
    assert ("odin" in words) == (kind == "saved_model")
