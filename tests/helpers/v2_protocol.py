"""A client of KServe's V2 protocol over HTTP, and a wait for its servers."""

import contextlib
import json
import struct
import time
import urllib.request

import numpy as np


def wait_until_ready(address, process, log, seconds=120):
    for _ in range(5 * seconds):
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"{address}/ready"):
                return
        time.sleep(0.2)
    raise TimeoutError(log.read_text())


def ask(address, images, datatype="UINT8"):
    """POSTs pixels; returns the outputs as arrays."""
    tensor = {
        "name": "images",
        "shape": list(images.shape),
        "datatype": datatype,
        "data": images.ravel().tolist(),
    }
    return _outputs(address, json.dumps({"inputs": [tensor]}).encode())


def ask_files(address, files):
    """POSTs image files by the protocol's binary extension; returns the outputs as arrays."""
    content = b"".join(struct.pack("<I", len(file)) + file for file in files)
    tensor = {
        "name": "image_bytes",
        "shape": [len(files), 1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(content)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    return _outputs(
        address, head + content, **{"Inference-Header-Content-Length": str(len(head))}
    )


def _outputs(address, body, **headers):
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(f"{address}/infer", data=body, headers=headers)
    with urllib.request.urlopen(request) as response:
        outputs = json.load(response)["outputs"]
    return {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in outputs}
