"""Processes on a backend other than TensorFlow, where TensorFlow cannot be imported."""

import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
# Parameters for a fixture. PyTorch starts slowly, and tests of it need both in one environment.
BACKENDS = ["jax", pytest.param("torch", marks=pytest.mark.slow)]


def run_on(backend, script, *arguments):
    """Runs a script of this folder on a backend; returns what it printed.

    Skips the test where the backend is not installed.
    """
    pytest.importorskip(backend)
    changes = {
        "KERAS_BACKEND": backend,
        "JAX_PLATFORMS": "cpu",
        # Compiling takes longer than the few steps.
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}",
    }
    done = subprocess.run(
        [sys.executable, HERE / script, *arguments],
        env=os.environ | changes,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
