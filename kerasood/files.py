"""Atomic writes: a file is there whole or not at all.

Temporary names start with a dot and end in `.<host>-<process>.tmp`. Readers see no such
name (`is_temporary`, `visible`), and the next writer in the folder removes those of dead processes.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import tempfile
import tokenize
import zipfile
import zlib

import numpy as np

from kerasood.errors import InvalidInputError, StorageError

# What NumPy raises on damaged files; it parses the header of an array as Python.
DAMAGE = (
    OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, SyntaxError,
    tokenize.TokenError,
)
TEMPORARY = re.compile(r"\..*\.(?P<host>[A-Za-z0-9]+)-(?P<process>\d+)\.tmp")


@contextlib.contextmanager
def atomic_path(path):
    """Yields a temporary sibling of `path` that replaces it when the block succeeds.

    A reader, a crash or a full disk never sees half a file, and what stood at `path` before stays
    until the new content is complete and on the disk.

    Args:
        path: str or Path of the file or folder to write.

    Yields:
        Path in the same folder and with the same suffix; write a file or create a folder there.

    Raises:
        OSError: the target cannot be written; the message names it.
    """
    path = pathlib.Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        folder = tempfile.mkdtemp(f".{_host()}-{os.getpid()}.tmp", f".{path.name}.", path.parent)
        temporary = pathlib.Path(folder) / path.name
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(
            error.errno, f"Cannot write {path}: {reason}. Nothing was changed there."
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary.parent, ignore_errors=True)


def check_writable(folder):
    """Makes a folder and tries to write there, before hours of work whose results it shall hold.

    Raises:
        OSError: it is not possible; the message names the folder.
    """
    try:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(error.errno, f"Cannot write to {folder}: {error.strerror}") from error


def is_temporary(path):
    """True for a path that a writer has not finished, or that lies in one."""
    return any(TEMPORARY.fullmatch(part) for part in pathlib.Path(path).parts)


def visible(folder):
    """The entries of a folder but for what writers have not finished: list of Paths."""
    return [path for path in pathlib.Path(folder).iterdir() if not is_temporary(path.name)]


def remove_leftovers(folder):
    """Removes what writers on this machine left in a folder when they were killed."""
    for path in pathlib.Path(folder).glob(".*.tmp"):
        found = TEMPORARY.fullmatch(path.name)
        if found and found["host"] == _host() and not _is_alive(int(found["process"])):
            shutil.rmtree(path, ignore_errors=True)


def _host():
    return re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:40] or "host"


def _is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True


def _sync(path):
    """Has a file, or a folder with all that is in it, written to the disk."""
    for parent, _, names in os.walk(path):
        for name in names:
            _sync(pathlib.Path(parent, name))
        _sync_folder(parent)
    if path.is_file():
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _sync_folder(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path, text):
    """Writes `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, content):
    """Writes `content` as indented JSON, atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path):
    """Reads a JSON file.

    Raises:
        ValueError: the file is not JSON; the message names it.
    """
    path = pathlib.Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"Expected JSON in {path}. Received: {error}") from error


@contextlib.contextmanager
def open_npz(path, what):
    """Yields an .npz file's arrays by name, read as they are asked for; nothing is unpickled.

    Args:
        path: str or Path.
        what: str, what the file should hold, for the message: "a checkpoint".

    Raises:
        FileNotFoundError: there is no such file.
        InvalidInputError: the file is damaged, or lacks what the block asks for.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            yield stored
    except (FileNotFoundError, InvalidInputError):
        raise
    except (KeyError, *DAMAGE) as error:
        raise InvalidInputError(f"Expected {what} in {path}. Received: {error}") from error
