import numpy as np
import pytest
from tiny_models import random_images, wide_resnet

from benchmarks import score
from kerasood.extractor.build import build_extractor

pytestmark = pytest.mark.slow

linux_only = pytest.mark.skipif(
    not (score.PROCESS / "clear_refs").exists(), reason="memory is read from /proc"
)


@pytest.fixture(scope="module")
def extractor():
    return build_extractor(wide_resnet())


@linux_only
def test_the_benchmark_prints_speed_and_memory(monkeypatch, capsys):
    monkeypatch.setattr(score, "LOWEST_RATIO", 0)
    score.main(score.ScoreConfig(10, 1, ("8",), timed_images=20, rounds=2, images=2000))
    text = capsys.readouterr().out
    assert "memory, 2,000 images" in text
    # 2,000 x 32 x 32 x 3 bytes, and 2,000 x (128 + 10) x 4 bytes.
    assert "images 6 MB, outputs 1 MB" in text
    assert "WRN-10-1, 20 images in batches of 8" in text
    assert text.count("images/s, rounds:") == 2 and "ratio" in text


def test_a_limit_that_is_not_kept_ends_in_an_error(monkeypatch):
    monkeypatch.setattr(score, "LOWEST_RATIO", 1e9)
    with pytest.raises(SystemExit, match="limits not kept: batches of 8 reach"):
        score.main(score.ScoreConfig(10, 1, ("8",), timed_images=8, rounds=1, images=0))


def test_the_ratio_is_the_median_over_rounds():
    bare = np.array([[1.8, 1.0], [2.0, 1.0], [1.0, 1.0]])
    ours = np.array([[2.0, 2.0], [2.0, 2.0], [4.0, 2.0]])
    speed = score.Speed(100, bare, ours)
    # By the clock 0.9, 1 and 0.25; by processor time always a half.
    np.testing.assert_allclose(speed.ratio, [0.9, 0.5])
    assert "bare forward pass        56 images/s, rounds: 56 50 100" in str(speed)
    assert "evaluate.py's path       50 images/s, rounds: 50 50 25" in str(speed)


def test_every_round_is_timed_on_both_paths(extractor):
    speed = score.measure_speed(extractor, num_images=20, batch_size=8, rounds=3)
    for seconds in (speed.bare, speed.ours):
        assert seconds.shape == (3, 2)
        assert np.all((seconds > 0) & (seconds < 60))


def test_the_bare_pass_calculates_what_the_network_does(extractor):
    images = random_images((32, 32, 3))
    outputs = score.compiled_forward(extractor)(images)
    expected = extractor.predict(images, verbose=0)
    for name, values in expected.items():
        np.testing.assert_allclose(outputs[name], values, rtol=1e-4, atol=1e-4)


def test_paths_that_differ_are_not_compared(extractor, monkeypatch):
    collect = score.collect
    monkeypatch.setattr(
        score, "collect", lambda *arguments: {n: -v for n, v in collect(*arguments).items()}
    )
    with pytest.raises(AssertionError, match="Mismatched elements"):
        score.measure_speed(extractor, num_images=8, batch_size=8, rounds=1)


@linux_only
def test_memory_within_its_limit_holds_outputs_only():
    memory = score.measure_memory(60_000)
    assert memory.images_mb == pytest.approx(184.32)
    assert memory.outputs_mb == pytest.approx(33.12)
    assert memory.limit_mb == pytest.approx(1.25 * 33.12 + 100)
    assert 0 < memory.growth_mb < memory.limit_mb


@linux_only
def test_memory_that_holds_the_images_is_found(monkeypatch):
    held = []

    def hoard(extractor, batches):
        held.extend(images.copy() for images in batches)
        return {"logits": np.zeros((len(held), 10), "float32")}

    monkeypatch.setattr(score, "collect", hoard)
    memory = score.measure_memory(60_000)
    assert memory.growth_mb > 0.5 * memory.images_mb
    assert memory.growth_mb > memory.limit_mb
