import contextlib

import numpy as np
import pytest

from benchmarks import train, train_worker
from kerasood.networks.wide_resnet import WideResNet

pytestmark = pytest.mark.slow

TINY = train.TrainBenchmarkConfig(
    depth=10, width=1, batch_size=4, precision="float32", images=6, rounds=2,
    contenders=("kerasood", "keras fit"),
)


def test_the_work_of_a_network_is_that_of_its_layers():
    work = train_worker.work(WideResNet(10, 1, 10, 0.3, image_size=8))
    # Stages of 8x8, 4x4 and 2x2 pixels: the stem, then two 3x3 convolutions a block, and 1x1
    # shortcuts where the channels change.
    stage1 = 64 * 9 * (3 * 16 + 2 * 16 * 16)
    stage2 = 16 * (9 * (16 * 32 + 32 * 32) + 16 * 32)
    stage3 = 4 * (9 * (32 * 64 + 64 * 64) + 32 * 64)
    assert work == {
        "macs": stage1 + stage2 + stage3 + 64 * 10,
        "convolved": 3 * 64 * 16 + 3 * 16 * 32 + 3 * 4 * 64,
        "added": 64 * 16 + 16 * 32 + 4 * 64,
    }


def test_the_paper_s_network_takes_a_quarter_of_a_second_by_memory():
    answer = train_worker.work(WideResNet(40, 2, 10)) | {"flops": 989e12, "bandwidth": 4.8e12}
    limits = train.epoch_limits(answer, "mixed_bfloat16")
    assert answer["macs"] == pytest.approx(0.328e9, rel=0.01)
    assert limits["arithmetic"] == pytest.approx(6 * 50_000 * answer["macs"] / 989e12)
    assert limits["memory"] == pytest.approx(0.25, abs=0.01)
    single = train.epoch_limits(answer, "float32")
    assert single["memory"] == pytest.approx(2 * limits["memory"])


def test_the_table_gives_rates_shares_of_the_limit_and_ratios_to_ours():
    config = train.TrainBenchmarkConfig(images=500, models=3, rounds=3)
    seconds = {
        "keras fit": np.array([[4.0, 1], [2, 1], [6, 1]]),
        "kerasood": np.array([[2.0, 1], [2, 1], [2, 1]]),
        "kerasood, together": np.array([[3.0, 3], [3, 3], [3, 3]]),
    }
    lines = [line.split("  ") for line in train.table(seconds, config, limit=50.0).splitlines()]
    rows = {line[0]: [cell.strip() for cell in line[1:] if cell.strip()] for line in lines[1:]}
    assert list(rows) == ["kerasood, together", "kerasood", "keras fit"]
    # 250 images a second are 50,000 in 200 seconds, a quarter of the limit's rate.
    assert rows["kerasood"] == ["250", "200.00", "25.0%", "1.00", "1.00-1.00", "1.00"]
    assert rows["kerasood, together"] == ["500", "100.00", "50.0%", "2.00", "2.00-2.00", "1.00"]
    # Half, all and a third of ours in its three rounds.
    assert rows["keras fit"] == ["125", "400.00", "12.5%", "0.50", "0.42-0.75", "1.00"]


def test_contenders_that_can_run_train_in_every_round_in_alternating_order(monkeypatch, capsys):
    asked = []

    class Worker:
        def __init__(self, name):
            self.name = name

        def tell(self, line):
            asked.append(self.name)

        def answer(self):
            if self.name == "c":
                return "not installed: pip install c"
            return f"[{len(asked)}, 0.5]" if asked else "ready"

    monkeypatch.setattr(train, "_worker", lambda name, _: contextlib.nullcontext(Worker(name)))
    seconds = train.measure(("b", "c", "a"), train.TrainBenchmarkConfig(rounds=2))
    assert asked == ["a", "b", "b", "a"]
    assert capsys.readouterr().out == "c not installed: pip install c\n"
    assert set(seconds) == {"a", "b"}
    np.testing.assert_array_equal(seconds["a"], [[1, 0.5], [4, 0.5]])
    np.testing.assert_array_equal(seconds["b"], [[2, 0.5], [3, 0.5]])


def test_every_contender_is_timed(capsys):
    train.main(TINY)
    text = capsys.readouterr().out
    assert "WRN-10-1, batch 4, float32, 6 images, 2 rounds on" in text
    assert text.count("keras fit") == 1 and "limits of 50,000 images" in text


def test_models_side_by_side_need_jax():
    with pytest.raises(train_worker.Unavailable, match="needs KERAS_BACKEND=jax"):
        train_worker.together(TINY)


def test_a_contender_that_fails_is_named_with_its_error():
    config = train.TrainBenchmarkConfig(depth=11, images=4, rounds=1)
    with pytest.raises(ValueError, match="answer from kerasood. Received: .*depth = 6 n . 4"):
        train.measure(("kerasood",), config)
