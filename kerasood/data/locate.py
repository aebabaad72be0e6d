"""Places of a set's images: what is looked for, and in which order."""
import os
import pathlib
from typing import NamedTuple

from kerasood.data.arrays import ARRAY_SUFFIXES
from kerasood.data.lists import LIST_SUFFIXES
from kerasood.data.registry import DATASETS, DatasetSpec, find
from kerasood.data.tfds import default_root, prepared_directory
from kerasood.errors import InvalidInputError
from kerasood.names import shown

DATA_DIR_VARIABLE = "KERASOOD_DATA_DIR"


class Found(NamedTuple):
    """Files found of a data set.

    Args:
        kind: `"array"`, `"list"`, `"folder"`, `"tfds"`, `"archive"`, `"built in"`, or `"missing"`.
        path: where it is; None for what is built in and for what is missing.
        spec: DatasetSpec, or None for a path.
        roots: data directories that were searched.
    """

    kind: str
    path: pathlib.Path | None
    spec: DatasetSpec | None
    roots: tuple = ()


def locate(name: str, data_dir) -> Found:
    """Finds a data set on disk; touches no network.

    Raises:
        InvalidInputError: unknown name, a path that does not exist or is no kind of image data, or
            a data directory that does not exist.
    """
    roots = _roots(data_dir)
    if name not in DATASETS:
        return _of_path(name)
    spec = find(name)
    if spec.opener is not None:
        return Found("built in", None, spec)
    return Found(*_in_roots(spec, roots), spec, roots)


def not_found(found: Found) -> str:
    """Returns one line that says where a missing set was looked for and how to get it."""
    spec = found.spec
    searched = [str(root) for root in found.roots]
    if spec.downloadable:
        searched.append(str(default_root()))
    where = f" in {', '.join(searched)}" if searched else ""
    hint = "" if found.roots else f" (no data directory given: data_dir or {DATA_DIR_VARIABLE})"
    return f"{spec.name}: not found{where}{hint}; {spec.how_to_get}"


def _of_path(name):
    path = pathlib.Path(name).expanduser()
    if path.is_dir():
        return Found("folder", path, None)
    if path.is_file():
        if path.suffix in ARRAY_SUFFIXES:
            return Found("array", path, None)
        if path.suffix in LIST_SUFFIXES:
            return Found("list", path, None)
        raise InvalidInputError(
            "Expected an .npz or .npy file, a .csv or .txt list of files, or an image folder. "
            f"Received: name={shown(name)!r}"
        )
    if path.suffix in (*ARRAY_SUFFIXES, *LIST_SUFFIXES) or "/" in name or os.sep in name:
        raise InvalidInputError(f"Expected a path that exists. Received: name={shown(name)!r}")
    find(name)


def _in_roots(spec, roots):
    for root in roots:
        for suffix in (".npz", ".npy"):
            if (root / f"{spec.name}{suffix}").is_file():
                return "array", root / f"{spec.name}{suffix}"
        folder = root / spec.name
        if folder.is_dir() and not _is_of_tfds(folder):
            return "folder", folder
    everywhere = (*roots, default_root())
    for root in everywhere if spec.prepared_name else ():
        directory = prepared_directory(root, spec.prepared_name)
        if directory:
            return "tfds", directory
    for root in everywhere if spec.archive else ():
        file = root / spec.archive.file
        if file.is_file():
            return "array" if file.suffix in ARRAY_SUFFIXES else "archive", file
    return "missing", None


def _is_of_tfds(folder):
    """True for a folder with a prepared set; False for the leftovers of a killed preparation."""
    if next(folder.glob("*/dataset_info.json"), None):
        return True
    names = [path.name for path in folder.iterdir()]
    return bool(names) and all(name.startswith("incomplete.") for name in names)


def _roots(data_dir):
    given = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if not given:
        return ()
    root = pathlib.Path(given).expanduser()
    if not root.is_dir():
        source = "data_dir" if data_dir else DATA_DIR_VARIABLE
        raise InvalidInputError(
            f"Expected a data directory that exists. Received: {source}={given}"
        )
    return (root,)
