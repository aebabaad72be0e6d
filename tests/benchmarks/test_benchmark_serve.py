import numpy as np
import pytest

from benchmarks import serve, serve_worker

pytestmark = pytest.mark.slow


def test_the_table_gives_ratios_to_the_fastest():
    seconds = {
        "slow": np.array([[0.4, 0.4], [0.6, 0.4], [0.8, 0.4]]),
        "fast": np.array([[0.1, 0.2], [0.2, 0.2], [0.4, 0.2]]),
    }
    lines = serve.table(seconds, batch_size=10).splitlines()
    # By the clock 4, 3 and 2 times as slow; twice the processor time.
    assert lines[1].split() == ["fast", "200.00", "50", "1.00", "1.00-1.00", "1.00"]
    assert lines[2].split() == ["slow", "600.00", "17", "3.00", "2.50-3.50", "2.00"]


def test_every_round_of_every_runtime_is_timed(capsys):
    names = ("saved_model", "tflite")
    serve.main(serve.ServeConfig(10, 1, (1, 2), names, rounds=2, images=2, threads=1))
    text = capsys.readouterr().out
    assert text.count("saved_model") == text.count("tflite") == 2
    assert "batch 2, 2 rounds" in text


def test_runtimes_are_of_formats_that_are_written():
    kinds = {kind for kind, _, _ in serve_worker.RUNTIMES.values()}
    assert kinds == {"saved_model", "tflite", "onnx", "openvino", "keras", "unfolded"}
    assert serve_worker.images_of(3).shape == (3, 32, 32, 3)
