import dataclasses

import numpy as np
import pytest

from benchmarks import evaluate
from benchmarks.timing import alternating_seconds

pytestmark = pytest.mark.slow

TINY = evaluate.EvaluateBenchmarkConfig(
    depth=10, width=1, train_images=40, test_images=40, ood_images=8, rounds=1, scores=50,
    detectors=("energy", "mahalanobis"), largest_ratio=1e9, most_seconds=1e9,
)


def test_it_prints_the_ratio_and_the_time_of_the_metrics(capsys):
    evaluate.main(TINY)
    text = capsys.readouterr().out
    assert "WRN-10-1, 2 detectors: evaluation" in text
    assert "by processor time; limit 1e+09" in text
    assert "metrics of ten draws x 6 sets x 10 detectors" in text


def test_limits_that_are_not_kept_end_in_an_error(monkeypatch):
    slow = {"evaluation": np.full((3, 2), 3.0), "forward": np.full((3, 2), 2.0)}
    monkeypatch.setattr(evaluate, "measure_evaluation", lambda config: slow)
    monkeypatch.setattr(evaluate, "measure_metrics", lambda num_scores: 9.0)
    strict = dataclasses.replace(TINY, largest_ratio=1.4, most_seconds=2.0)
    with pytest.raises(SystemExit, match="takes 1.500 times the forward pass; the metrics take 9"):
        evaluate.main(strict)


def test_all_detectors_are_those_without_a_gradient():
    names = set(evaluate.detectors_of(evaluate.EvaluateBenchmarkConfig()))
    assert names >= {"msp", "energy", "mahalanobis"}
    assert "odin" not in names


def test_every_way_runs_in_every_round_in_alternating_order():
    order = []
    ways = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = alternating_seconds(ways, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert {name: values.shape for name, values in seconds.items()} == {"a": (3, 2), "b": (3, 2)}
