"""From folders, globs, lists, arrays and tar shards to a stream of named images."""

import csv
import dataclasses
import glob
import os
import pathlib
import tarfile
import typing

import numpy as np

from kerasood.data.arrays import readable
from kerasood.data.image_files import SUFFIXES, image_paths
from kerasood.data.lists import FILE_COLUMNS
from kerasood.errors import InvalidInputError, MissingDataError

LISTS = (".txt", ".csv")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One image to be scored.

    Args:
        name: str, what its row is called.
        content: str (a path), bytes (an encoded file) or a uint8 array (H, W, C).
    """

    name: str
    content: typing.Any


def entries(inputs, column=None):
    """Yields an Entry per image, always in the same order, holding at most a shard in memory.

    Args:
        inputs: str or Path, or a list of these: image file, folder (searched below, by name), glob,
            list of files (.txt: one a line; .csv: a column; relative to the list), .npz or .npy
            with images uint8 (N, H, W, C) or (N, H, W), or a .tar, .tar.gz shard of image files.
        column: str, the column of CSV lists that names the files; by default the first there is of
            file, filename, path, image.

    Raises:
        MissingDataError: there is no such file.
        InvalidInputError: a file is none of these, or holds no images.
    """
    for item in as_list(inputs):
        yield from _entries_of(item, column)


def count(inputs, column=None):
    """Counts images where that reads no more than names; None where shards must be read."""
    total = 0
    for item in as_list(inputs):
        path = pathlib.Path(item)
        if _is_tar(path):
            return None
        total += sum(1 for _ in _entries_of(item, column))
    return total


def as_list(inputs):
    """A list of str of what was given: one path or several."""
    several = isinstance(inputs, list | tuple)
    listed = [os.fspath(item) for item in (inputs if several else [inputs])]
    if not listed:
        raise InvalidInputError("Expected files to score. Received: none")
    return listed


def _entries_of(item, column):
    path = pathlib.Path(item)
    if not path.exists():
        yield from _globbed(item)
    elif path.is_dir():
        yield from _of_folder(path)
    elif path.suffix.lower() in LISTS:
        yield from _listed(path, column)
    elif path.suffix.lower() in (".npz", ".npy"):
        yield from _of_arrays(path)
    elif _is_tar(path):
        yield from _of_shard(path)
    else:
        yield Entry(item, item)


def _globbed(item):
    found = sorted(glob.glob(item, recursive=True))
    if not found:
        raise MissingDataError(f"Expected files to score. Received: {item}, which does not exist")
    for path in found:
        if os.path.isfile(path):
            yield Entry(path, path)


def _of_folder(folder):
    found = None
    for found in image_paths(folder):
        yield Entry(found, found)
    if found is None:
        raise InvalidInputError(f"Expected image files below {folder}. Received: none")


def _listed(path, column):
    with open(path, newline="", encoding="utf-8-sig") as file:
        if path.suffix.lower() == ".txt":
            names = (line.strip() for line in file)
        else:
            rows = csv.DictReader(file, skipinitialspace=True)
            fields = rows.fieldnames or ()
            chosen = column or next((name for name in FILE_COLUMNS if name in fields), None)
            if chosen not in fields:
                raise InvalidInputError(
                    f"Expected a column {column or ', '.join(FILE_COLUMNS)} in {path}. "
                    f"Received: {', '.join(fields) or 'no header'}"
                )
            names = (row[chosen] for row in rows)
        for name in names:
            if name:
                yield Entry(name, str(path.parent / name))


def _of_arrays(path):
    with readable(path):
        images = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
        names = ()
        if isinstance(images, np.lib.npyio.NpzFile):
            with images as stored:
                names = [name for name in stored.files if not _names_labels(name)]
                images = stored[names[0]] if len(names) == 1 else None
    if images is None:
        raise InvalidInputError(
            f"Expected one array of images in {path}. Received: {', '.join(names)}"
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4:
        raise InvalidInputError(
            f"Expected uint8 images (N, H, W, C), or grey ones (N, H, W), in {path}. "
            f"Received: shape={images.shape}, dtype={images.dtype}"
        )
    for row, image in enumerate(images):
        yield Entry(f"{path}[{row}]", np.asarray(image))


def _names_labels(name):
    return name.endswith("labels") or name.startswith("y_")


def _is_tar(path):
    return any(path.name.lower().endswith(end) for end in (".tar", ".tar.gz", ".tgz"))


def _of_shard(path):
    try:
        with tarfile.open(path, "r|*") as shard:
            for member in shard:
                if member.isfile() and member.name.lower().endswith(SUFFIXES):
                    yield Entry(f"{path}/{member.name}", shard.extractfile(member).read())
    except (tarfile.TarError, EOFError) as error:
        raise InvalidInputError(f"Expected a tar archive in {path}. Received: {error}") from error
