"""The exported model once behind a real server that can be installed from PyPI."""

import json
import os
import pathlib
import shutil
import subprocess
import urllib.request

import numpy as np
import pytest
from encoded_images import noise
from free_port import free_port
from v2_protocol import ask, wait_until_ready

from kerasood.export import run_exported

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("mlserver") is None,
        reason="needs mlserver on the PATH: pip install mlserver (67 packages)",
    ),
]


@pytest.fixture
def url(served_export, tmp_path):
    """The address of a server, its settings in a folder of its own."""
    http, grpc, metrics = free_port(), free_port(), free_port()
    settings = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": 0,
    }
    model = {
        "name": "tiny",
        "implementation": "mlserver_runtime.Runtime",
        "parameters": {"uri": str(served_export.folder)},
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    (tmp_path / "model-settings.json").write_text(json.dumps(model))
    helpers = str(pathlib.Path(__file__).parents[1] / "helpers")
    paths = [helpers, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with open(tmp_path / "log", "wb") as log:
        command = [shutil.which("mlserver"), "start", str(tmp_path)]
        with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
            try:
                address = f"http://127.0.0.1:{http}/v2/models/tiny"
                wait_until_ready(address, process, tmp_path / "log")
                yield address
            finally:
                process.terminate()


def test_it_answers_over_http_as_here(url, served_export):
    images = np.stack([noise(8, 8, seed=seed) for seed in range(5)])
    expected = run_exported(served_export.folder, images)
    outputs = ask(url, images)
    assert outputs.keys() == expected.keys()
    for name, output in outputs.items():
        np.testing.assert_allclose(output, expected[name], rtol=1e-4, atol=1e-6)
    for other in (images[:, :7], images[..., :1], images[0], images[None]):
        with pytest.raises(urllib.error.HTTPError):
            ask(url, other)
    assert ask(url, images[:1])["score"] == pytest.approx(expected["score"][0], rel=1e-4)
