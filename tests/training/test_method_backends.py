"""The training methods on JAX, where images, rows and what is known of them stay on the device."""

import json
import math

import pytest
from other_backends import run_on

METHODS = ("oecc", "ntom", "atom", "resampling", "reject_classes", "mcd", "udg", "g_odin",
           "t2fnorm", "confident_gan")


@pytest.mark.parametrize(
    "methods", [("resampling", "mcd"), pytest.param(METHODS, marks=pytest.mark.slow)], ids=len
)
def test_objectives_train_on_jax(methods):
    histories = json.loads(run_on("jax", "train_methods.py", *methods).splitlines()[-1])
    assert tuple(histories) == methods
    for name, history in histories.items():
        assert len(history) == 2
        assert all(math.isfinite(value) for row in history for value in row.values()), name
        assert history[-1]["val_loss"] == pytest.approx(history[-1]["val_ce"]), name
        assert history[0]["loss"] != pytest.approx(history[1]["loss"], rel=1e-7), name
