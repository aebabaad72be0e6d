import hashlib
import socket

import numpy as np
import pytest
from tiny_server import TinyServer

from kerasood.data.archives import download
from kerasood.data.archives.download import fetch, md5_of

CONTENT = np.random.default_rng(0).bytes(100_000)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "file.tar.gz"


def part_of(path):
    return path.with_name(path.name + ".part")


def names(path):
    return [file.name for file in path.parent.iterdir()]


def serve(**settings):
    return TinyServer(CONTENT, **settings).running()


def test_a_whole_file(path):
    with serve() as server:
        assert fetch(server.url, path, MD5) == path
    assert path.read_bytes() == CONTENT and names(path) == [path.name]
    assert server.asked == [None]
    assert md5_of(path) == MD5


def test_a_connection_that_breaks_off_is_continued(path):
    with serve(sends=[30_000, 20_000]) as server:
        fetch(server.url, path, MD5)
    assert path.read_bytes() == CONTENT and names(path) == [path.name]
    assert server.asked == [None, "bytes=30000-", "bytes=50000-"]


def test_what_is_left_of_an_earlier_call_is_continued(path):
    with serve(sends=[30_000, 0]) as server:
        with pytest.raises(OSError, match=r"broke off after 30,000 of 100,000 bytes.*30,000 bytes "
                                          r"are kept in .*file\.tar\.gz\.part"):
            fetch(server.url, path, MD5)
        assert names(path) == ["file.tar.gz.part"]
        fetch(server.url, path, MD5)
    assert path.read_bytes() == CONTENT and names(path) == [path.name]
    assert server.asked == [None, "bytes=30000-", "bytes=30000-"]


def test_a_server_that_cannot_continue_starts_again(path):
    part_of(path).parent.mkdir()
    part_of(path).write_bytes(CONTENT[:40_000])
    with serve(ranges=False) as server:
        fetch(server.url, path, MD5)
    assert path.read_bytes() == CONTENT and names(path) == [path.name]
    assert server.asked == ["bytes=40000-"]


def test_a_server_that_always_breaks_off_is_given_up(path):
    with serve(ranges=False, sends=[40_000] * 30) as server:
        with pytest.raises(OSError, match="broke off after 40,000"):
            fetch(server.url, path, MD5)
    assert len(server.asked) == 2 and not path.exists()


def test_attempts_are_limited(path, monkeypatch):
    monkeypatch.setattr(download, "MAX_ATTEMPTS", 3)
    with serve(sends=[10] * 10) as server:
        with pytest.raises(OSError, match="broke off after 30 of"):
            fetch(server.url, path, MD5)


def test_a_part_that_is_complete_only_takes_its_name(path):
    part_of(path).parent.mkdir()
    part_of(path).write_bytes(CONTENT)
    with serve() as server:
        fetch(server.url, path, MD5)
    assert server.asked == ["bytes=100000-"] and names(path) == [path.name]


def test_a_part_longer_than_the_file_is_thrown_away(path):
    part_of(path).parent.mkdir()
    part_of(path).write_bytes(b"x" * 100_001)
    with serve() as server:
        fetch(server.url, path, MD5)
    assert server.asked == ["bytes=100001-", None] and path.read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_a_wrong_checksum_names_both_and_leaves_nothing(path, ranges):
    with serve(ranges=ranges) as server:
        with pytest.raises(OSError, match=rf"{server.url}: wrong checksum: expected md5 {'0' * 32}"
                                          rf"\. Received: md5 {MD5} \(100,000 bytes\)"):
            fetch(server.url, path, "0" * 32)
    assert names(path) == []


def test_a_part_of_something_else_is_found_out_and_removed(path):
    part_of(path).parent.mkdir()
    part_of(path).write_bytes(b"x" * 10)
    with serve() as server:
        with pytest.raises(OSError, match="wrong checksum"):
            fetch(server.url, path, MD5)
        assert names(path) == []
        fetch(server.url, path, MD5)
    assert path.read_bytes() == CONTENT


def test_an_old_file_stays_until_the_new_one_is_whole(path):
    path.parent.mkdir()
    path.write_bytes(b"old")
    with serve() as server:
        with pytest.raises(OSError, match="wrong checksum"):
            fetch(server.url, path, "0" * 32)
        assert path.read_bytes() == b"old"
        fetch(server.url, path, MD5)
    assert path.read_bytes() == CONTENT


def test_no_such_file_on_the_server(path):
    with serve() as server:
        server.RequestHandlerClass = type(
            "Missing", (server.RequestHandlerClass,), {"do_GET": lambda self: self.send_error(404)}
        )
        with pytest.raises(OSError, match=r"the download failed: HTTP Error 404: Not Found$"):
            fetch(server.url, path, MD5)
    assert names(path) == []


def test_no_server(path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/file"
    with pytest.raises(OSError, match=f"{url}: the download failed: .*refused"):
        fetch(url, path, MD5)
    assert names(path) == []


def test_another_part_than_asked_for_is_refused(path, monkeypatch):
    part_of(path).parent.mkdir()
    part_of(path).write_bytes(CONTENT[:40_000])
    with serve() as server:
        request = download._request
        monkeypatch.setattr(download, "_request", lambda url, have: request(url, have and have - 1))
        with pytest.raises(OSError, match=r"expected bytes 40000-\. Received: bytes 39999-99999"):
            fetch(server.url, path, MD5)
    assert not path.exists()
