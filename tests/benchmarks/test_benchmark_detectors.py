import dataclasses
import importlib.machinery
import re
import sys

import numpy as np
import pytest

from benchmarks import detectors, peers
from benchmarks.outputs import Classifier
from kerasood.detectors import DETECTORS

pytestmark = pytest.mark.slow

TINY = detectors.DetectorsBenchmarkConfig(
    classes=3, features=80, fitted_images=60, scored_images=30, rounds=2
)


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch):
    monkeypatch.setattr(detectors.Repeated, "SHORTEST", 0.0)


@pytest.fixture
def without_peer(monkeypatch):
    monkeypatch.setattr(detectors, "_peer", lambda: None)


def test_without_the_peer_it_prints_our_times_and_how_to_get_it(without_peer, capsys):
    detectors.main(TINY)
    text = capsys.readouterr().out
    for name in peers.PAIRS:
        assert re.search(rf"^{name} +score +ours +[\d.]+ ms$", text, re.M), name
        learns = DETECTORS[name].learns
        assert bool(re.search(rf"^{name} +fit +ours +[\d.]+ ms$", text, re.M)) == learns, name
    assert "pip install '.[peers]'" in text
    assert "ratio" not in text


def seconds(milliseconds):
    return np.full((3, 2), milliseconds / 1000)


def test_detectors_slower_than_their_peers_end_in_an_error(monkeypatch, capsys):
    taken = {
        "fit": {"ours": seconds(100), "theirs": seconds(98)},
        "score": {"ours": seconds(100), "theirs": seconds(50)},
    }
    monkeypatch.setattr(detectors, "measure", lambda *arguments: taken)
    monkeypatch.setattr(detectors, "_peer", lambda: None)
    config = dataclasses.replace(TINY, detectors=("energy", "knn"))
    with pytest.raises(SystemExit) as stop:
        detectors.main(config)
    assert stop.value.code == (
        "slower than pytorch-ood: energy takes 2.00 times as long to score; "
        "knn takes 2.00 times as long to score"
    )
    assert "ours    100.00 ms, theirs     50.00 ms, ratio 2.00" in capsys.readouterr().out
    detectors.main(dataclasses.replace(config, largest_ratio=2.1))


def test_a_ratio_is_the_median_over_rounds_by_the_clock_and_by_processor_time():
    ours = np.array([[3.0, 1], [2, 1], [9, 1]])
    timing = detectors.Timing(ours, np.array([[2.0, 2], [1, 2], [1, 4]]))
    np.testing.assert_allclose(timing.ratio, [2.0, 0.5])


def test_a_short_call_is_repeated(monkeypatch):
    monkeypatch.setattr(detectors.Repeated, "SHORTEST", 10.0)
    ticks = iter([0.0, 4.0])
    monkeypatch.setattr(detectors.time, "perf_counter", lambda: next(ticks))
    calls = []
    repeated = detectors.Repeated(lambda: calls.append(0))
    assert repeated.calls == 3 and len(calls) == 2
    repeated()
    assert len(calls) == 5


def test_every_detector_of_both_is_there():
    # ODIN and Mahalanobis with their steps need a network; the others are ours alone.
    ours_alone = {"odin", "g_odin", "mcd", "reject", "residual"}
    assert set(peers.PAIRS) == set(DETECTORS) - ours_alone


def test_the_peer_that_is_not_installed_is_asked_for(monkeypatch):
    monkeypatch.delitem(sys.modules, peers.MODULE, raising=False)
    monkeypatch.setattr(importlib.machinery.PathFinder, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install '.\[peers\]'"):
        peers.pytorch_ood_detectors()


def test_images_of_no_class_are_the_last_ones_and_lie_between_two():
    images = Classifier(4, 32).images(20, seed=0, share_out=0.25)
    np.testing.assert_array_equal(images.labels, [*np.arange(15) % 4, *[-1] * 5])
    assert images.outputs["features"].shape == (20, 32)
    assert images.outputs["features"].min() == 0
    again = Classifier(4, 32).images(20, seed=0, share_out=0.25)
    np.testing.assert_array_equal(images.outputs["logits"], again.outputs["logits"])
