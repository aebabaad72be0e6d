"""Scoring files beside its limits."""

import re

import pytest

from benchmarks import score_files

pytestmark = pytest.mark.slow


def test_opening_is_measured_apart(capsys):
    score_files.main(score_files.BenchmarkConfig("wrn-10-1", 12, 40, 4, 1))
    text = capsys.readouterr().out
    assert re.findall(r"^(\w+) +-?[\d.]+ s,", text, re.M) == ["decoding", "forward", "ours"]
    assert "opening the model, not in ours" in text and "slower limit / ours" in text
