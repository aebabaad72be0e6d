"""Atomic writes: a file is there whole or not at all."""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
import zipfile
import zlib

import numpy as np

from kerasood.errors import InvalidInputError, StorageError


@contextlib.contextmanager
def atomic_path(path):
    """Yields a temporary sibling of `path` that replaces it when the block succeeds.

    A reader, a crash or a full disk never sees half a file, and what stood at `path` before stays
    until the new content is complete.

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
        folder = tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = pathlib.Path(folder) / path.name
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
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


def _sync(path):
    if path.is_file():
        with open(path, "rb") as file:
            os.fsync(file.fileno())


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
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidInputError(f"Expected {what} in {path}. Received: {error}") from error
