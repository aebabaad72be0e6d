import logging
import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from PIL import Image
from tiny_server import TinyServer

from kerasood.data import DataOptions, decoding, open_source
from kerasood.data.archives import download
from kerasood.data.decoding import decode

TINY = DataOptions(image_size=8)


def write(path, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (value,) * 3).save(path, "PNG")


def loaded(folder):
    source = open_source(str(folder), "ood", TINY)
    return source, source.load()[0][:, 0, 0, 0].tolist()


@pytest.mark.parametrize("kind", ["pipe", "device", "dangling link", "folder"])
def test_what_is_no_file_is_left_out_named_and_counted(tmp_path, kind):
    write(tmp_path / "a.png", 1)
    write(tmp_path / "c.png", 3)
    odd = tmp_path / "b.png"
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "folder":
        odd.mkdir()
    else:
        odd.symlink_to("/dev/zero" if kind == "device" else tmp_path / "gone")
    source, values = loaded(tmp_path)
    assert values == [1, 3] and source.num_images == 2
    assert [file for file, _ in source.skipped] == ([] if kind == "folder" else [str(odd)])
    assert len(source.fingerprint()) == 64


def test_a_class_folder_that_cannot_be_listed_is_an_error_not_one_class_less(tmp_path, monkeypatch):
    for name in ("ant", "bee", "wolf"):
        write(tmp_path / "test" / name / "0.png")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("bee"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(OSError, match="test/bee: cannot be listed: Permission denied"):
        open_source(str(tmp_path), "test", TINY)


def test_names_cannot_write_to_the_terminal(tmp_path, caplog):
    name = "a\x1b[31m\nerror: b.png"
    write(tmp_path / "good.png")
    (tmp_path / name).write_bytes(b"no image")
    with caplog.at_level(logging.WARNING):
        source, _ = loaded(tmp_path)
    assert source.skipped[0][0].endswith(r"a\x1b[31m\nerror: b.png")
    assert "\x1b" not in caplog.text and caplog.records[-1].getMessage().count("\n") == 0


def test_brackets_in_paths(tmp_path):
    folder = tmp_path / "set[1]*?"
    for name in ("a[0]", "b[1]"):
        for number in range(5):
            write(folder / "test" / name / f"{number}[x].png", number)
    assert open_source(str(folder), "test", TINY).class_names == ("a[0]", "b[1]")
    np.savez(folder / "isun.npz", images=np.zeros((2, 32, 32, 3), np.uint8))
    assert open_source("isun", "ood", DataOptions(folder, download=False)).num_images == 2


def test_large_images_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MANY_PIXELS", 63)
    write(tmp_path / "a.png")
    running, most, lock, to_rgb = [], [], threading.Lock(), decoding.to_rgb

    def watched(image):
        with lock:
            running.append(1)
            most.append(len(running))
        threading.Event().wait(0.01)
        with lock:
            running.pop()
        return to_rgb(image)

    monkeypatch.setattr(decoding, "to_rgb", watched)
    decoding.decode_all([str(tmp_path / "a.png")] * 8, 8)
    assert len(most) == 8 and max(most) == 1


HUGE = """
import resource, sys
from kerasood.data.decoding import decode
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert decode(sys.argv[1], 32).shape == (32, 32, 3)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
def test_a_huge_transparent_image_takes_bounded_memory(tmp_path):
    side = 9000
    Image.new("RGBA", (side, side)).save(tmp_path / "a.png", compress_level=1)
    output = subprocess.run([sys.executable, "-c", HUGE, tmp_path / "a.png"],
                            capture_output=True, text=True, check=True).stdout
    assert int(output) < 10 * side * side
    Image.new("L", (10_000, 10_000)).save(tmp_path / "b.png", compress_level=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "10000x10000 pixels are too many to decode" in decode(tmp_path / "b.png", 32)


@pytest.mark.parametrize("says", [True, False])
def test_a_download_larger_than_any_set_is_given_up(tmp_path, monkeypatch, says):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    monkeypatch.setattr(download, "CHUNK_BYTES", 100)
    with TinyServer(bytes(5000)).running() as server:
        if not says:
            monkeypatch.setattr("http.client.HTTPMessage.get", _without_length())
        with pytest.raises(OSError, match="expected at most 1,000 bytes"):
            download.fetch(server.url, tmp_path / "a.npy", "0" * 32)
    assert list(tmp_path.iterdir()) == []


def _without_length():
    import http.client

    get = http.client.HTTPMessage.get
    return lambda self, name, default=None: (
        default if name == "Content-Length" else get(self, name, default)
    )
