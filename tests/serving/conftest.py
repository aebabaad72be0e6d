"""Fixtures of the tests of servers and their clients."""

import pytest
from deploy_folder import client
from encoded_images import encode, huge_png, noise, picture
from tf_serving import NO_API


@pytest.fixture(scope="module")
def rest_client():
    return client("rest_client")


@pytest.fixture(scope="module")
def grpc_client():
    pytest.importorskip("tensorflow_serving", reason=NO_API)
    return client("grpc_client")


@pytest.fixture
def files(tmp_path):
    """An image, files that are none or cannot be used, and the image again."""
    contents = {
        "photo.jpg": encode(noise(20, 30), "JPEG"),
        "notes.png": b"no image",
        "empty.jpg": b"",
        "truncated.jpg": encode(picture(20, 20), "JPEG")[:300],
        "huge.png": huge_png(8000, 7000),
        "again.jpg": encode(noise(20, 30), "JPEG"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [str(tmp_path / name) for name in contents]
