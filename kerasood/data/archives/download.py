"""Published files from the network: continued where they stopped, checked, and whole or absent."""
import hashlib
import http.client
import os
import pathlib
import urllib.error
import urllib.request

from kerasood.errors import StorageError
from kerasood.logs import log

CHUNK_BYTES = 1 << 20
TIMEOUT = 60  # seconds without an answer
MAX_ATTEMPTS = 20
MAX_BYTES = 8 << 30


def fetch(url: str, path, md5: str) -> pathlib.Path:
    """Downloads a file to `path`.

    What arrives is written to `<path>.part`. A connection that breaks off is continued there as
    long as every attempt brings more, and by the next call after that; a server that cannot
    continue starts again. Only the whole file with the right checksum takes its name.

    Args:
        url: http or https.
        path: where the file shall be; replaced.
        md5: checksum that it must have.

    Returns:
        `path` as a Path.

    Raises:
        OSError: the server cannot be reached or refuses, the connection broke off, the disk is
            full, or the checksum is wrong; then nothing is left of the file.
    """
    path = pathlib.Path(path)
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    log.info("downloading %s to %s", url, path)
    _complete(url, part)
    received = md5_of(part)
    if received != md5:
        size = part.stat().st_size
        part.unlink()
        raise StorageError(
            f"{url}: wrong checksum: expected md5 {md5}. Received: md5 {received} ({size:,} "
            "bytes); what was downloaded is removed"
        )
    os.replace(part, path)
    return path


def fetch_archive(spec, root) -> pathlib.Path:
    """Downloads the published file of a DatasetSpec into a directory; returns its path.

    Raises:
        OSError: as `fetch`; says how else to get the set.
    """
    archive = spec.archive
    try:
        return fetch(archive.url, pathlib.Path(root, archive.file), archive.md5)
    except OSError as error:
        raise StorageError(f"{spec.name}: {error}; {spec.how_to_get}") from error


def md5_of(path) -> str:
    """Returns the MD5 of a file, read in bounded memory, in hexadecimal digits."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _complete(url, part):
    for _ in range(MAX_ATTEMPTS):
        before = _size(part)
        try:
            return _append(url, part)
        except (OSError, http.client.HTTPException) as error:
            failure = error
        if isinstance(failure, urllib.error.HTTPError | _TooLargeError) or _size(part) <= before:
            break
    kept = f"; {_size(part):,} bytes are kept in {part} to continue from" if _size(part) else ""
    reason = str(failure) or type(failure).__name__
    raise StorageError(f"{url}: the download failed: {reason}{kept}") from failure


class _TooLargeError(OSError):
    """More bytes than any published set has."""


def _append(url, part):
    """Asks for what `part` lacks and writes it there."""
    have = _size(part)
    try:
        response = urllib.request.urlopen(_request(url, have), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return
        part.unlink()
        response = urllib.request.urlopen(_request(url, 0), timeout=TIMEOUT)
    with response:
        start = _start(response, have if part.exists() else 0)
        length = response.headers.get("Content-Length")
        size = start + int(length or 0)
        with open(part, "ab" if start else "wb") as file:
            while size <= MAX_BYTES and (chunk := response.read(CHUNK_BYTES)):
                file.write(chunk)
                size = max(size, file.tell())
            file.flush()
            os.fsync(file.fileno())
    if size > MAX_BYTES:
        part.unlink()
        raise _TooLargeError(f"expected at most {MAX_BYTES:,} bytes. Received: {size:,} or more")
    if length is not None and _size(part) < start + int(length):
        raise ConnectionError(
            f"the connection broke off after {_size(part):,} of {start + int(length):,} bytes"
        )


def _request(url, have):
    headers = {"User-Agent": "kerasood", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    return urllib.request.Request(url, headers=headers)


def _start(response, have):
    """Returns the position in the file of the first byte that the server sends."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    sent = response.headers.get("Content-Range", "")
    if not sent.startswith(f"bytes {have}-"):
        raise http.client.HTTPException(
            f"the server sent another part than asked for: expected bytes {have}-. Received: {sent}"
        )
    return have


def _size(part):
    return part.stat().st_size if part.exists() else 0
