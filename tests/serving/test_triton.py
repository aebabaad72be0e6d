"""The exported model once behind a real Triton Inference Server.

nvidia-pytriton brings one with its Python backend. It needs NumPy below 2, and so a Python of its
own: KERASOOD_TRITON_PYTHON names it; docs/serving.md says how it is made.
"""

import os
import pathlib
import subprocess
import urllib.error

import numpy as np
import pytest
from encoded_images import encode, noise
from free_port import free_port
from v2_protocol import ask, ask_files, wait_until_ready

from kerasood.export import load_served, run_exported

PYTHON = os.environ.get("KERASOOD_TRITON_PYTHON")
HELPERS = pathlib.Path(__file__).parents[1] / "helpers"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="needs KERASOOD_TRITON_PYTHON, see docs/serving.md"),
]


@pytest.fixture(scope="module")
def models(served_export, tmp_path_factory):
    """The address below which every signature is a model."""
    ports = [free_port() for _ in range(3)]
    log = tmp_path_factory.mktemp("triton") / "log"
    command = [PYTHON, HELPERS / "triton_runtime.py", served_export.folder, *map(str, ports)]
    libraries = pathlib.Path(PYTHON).parents[1].glob("lib/*/site-packages/nvidia_pytriton.libs")
    environment = {
        **os.environ,
        "PYTHONPATH": str(HELPERS.parents[1]),
        # The server is copied elsewhere before it starts, and does not find them.
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
    }
    with open(log, "wb") as file:
        with subprocess.Popen(command, env=environment, stdout=file, stderr=file) as process:
            try:
                address = f"http://127.0.0.1:{ports[0]}/v2/models"
                for name in ("serving_default", "classify", "serving_bytes", "classify_bytes"):
                    wait_until_ready(f"{address}/{name}", process, log, seconds=300)
                yield address
            finally:
                process.terminate()


@pytest.fixture(scope="module")
def images():
    return np.stack([noise(8, 8, seed=seed) for seed in range(5)])


def squeezed(outputs):
    """(N, 1) of what is (N,) elsewhere."""
    return {
        name: values[:, 0] if values.shape[1:] == (1,) else values
        for name, values in outputs.items()
    }


def test_pixels_are_answered_as_here(models, served_export, images):
    expected = run_exported(served_export.folder, images)
    outputs = squeezed(ask(f"{models}/serving_default", images))
    assert outputs.keys() == expected.keys()
    for name, output in outputs.items():
        np.testing.assert_allclose(output, expected[name], rtol=1e-4, atol=1e-6)
    short = squeezed(ask(f"{models}/classify", images))
    np.testing.assert_array_equal(short["is_ood"], expected["is_ood"])
    labels = ["abcd"[k] for k in expected["logits"].argmax(axis=1)]
    assert short["label"].tolist() == labels


def test_files_are_answered_and_bad_ones_marked(models, served_export, images):
    files = [encode(images[0]), b"no image", encode(images[1], "JPEG")]
    outputs = squeezed(ask_files(f"{models}/classify_bytes", files))
    with load_served(served_export.folder) as served:
        given = {"image_bytes": np.array(files, dtype=object)}
        expected = served.run(given, "classify_bytes")
    assert outputs["valid"].tolist() == [True, False, True]
    assert outputs["is_ood"].tolist() == expected["is_ood"].tolist()
    assert outputs["label"].tolist() == [label.decode() for label in expected["label"]]
    np.testing.assert_allclose(outputs["score"], expected["score"], rtol=1e-4)


def test_what_does_not_fit_is_refused_and_the_next_is_answered(models, served_export, images):
    address = f"{models}/serving_default"
    for other in (images[:, :7], images[..., :1], images[0], images[None]):
        with pytest.raises(urllib.error.HTTPError):
            ask(address, other)
    with pytest.raises(urllib.error.HTTPError):
        ask(address, images / 255, datatype="FP32")
    expected = run_exported(served_export.folder, images[:1])["score"]
    assert squeezed(ask(address, images[:1]))["score"] == pytest.approx(expected, rel=1e-4)
