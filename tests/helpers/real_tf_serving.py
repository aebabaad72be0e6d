"""TF Serving itself, where its binary is on the PATH, and requests to a server of its kind."""

import base64
import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.request

from free_port import free_port
from tf_serving import Server

BINARY = "tensorflow_model_server"
NO_BINARY = (
    f"{BINARY} is not on the PATH; it comes with the Docker image tensorflow/serving and with "
    "the Debian package of https://github.com/tensorflow/serving"
)


@contextlib.contextmanager
def real_server(folder):
    """Serves MODEL/VERSION with tensorflow_model_server."""
    server = Server(folder.parent.name, free_port(), free_port())
    command = [
        BINARY,
        f"--port={server.grpc_port}",
        f"--rest_api_port={server.rest_port}",
        f"--model_name={server.model}",
        f"--model_base_path={folder.parent.resolve()}",
    ]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    with tempfile.NamedTemporaryFile() as log:
        with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
            try:
                _wait_until_available(server, process, log.name)
                yield server
            finally:
                process.terminate()


def _wait_until_available(server, process, log, seconds=60):
    for _ in range(10 * seconds):
        assert process.poll() is None, pathlib.Path(log).read_text()
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(server.url) as response:
                if b"AVAILABLE" in response.read():
                    return
        time.sleep(0.1)
    raise TimeoutError(f"{BINARY} did not load the model within {seconds} seconds")


def ask_rest(server, instances, signature="serving_default"):
    """POSTs instances; returns (HTTP status, content)."""
    body = json.dumps({"signature_name": signature, "instances": instances}).encode()
    request = urllib.request.Request(f"{server.url}:predict", data=body)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def as_b64(file):
    """A file as REST takes it."""
    return {"b64": base64.b64encode(file).decode()}
