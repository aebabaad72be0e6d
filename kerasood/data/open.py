"""From a name or path to an ImageSource: where images are looked for, and what opens them."""
import os
import pathlib
from typing import NamedTuple

from kerasood.data.adapters import as_source
from kerasood.data.archives.download import fetch_archive
from kerasood.data.arrays import ARRAY_SUFFIXES, ArrayFileSource, array_size, array_splits
from kerasood.data.built_in import OPENERS
from kerasood.data.division import OOD_SPLIT, OUTLIERS
from kerasood.data.folders import FolderSource, folder_splits
from kerasood.data.lists import LIST_SUFFIXES, ListSource, list_splits
from kerasood.data.options import DEFAULTS, DataOptions
from kerasood.data.registry import DATASETS, DatasetSpec, built_in, find
from kerasood.data.source import ImageSource
from kerasood.data.tfds import (
    TfdsSource,
    default_root,
    download_and_prepare,
    prepare,
    prepared_directory,
    prepared_splits,
    stored_splits,
)
from kerasood.errors import InvalidInputError, MissingDataError
from kerasood.names import shown

DATA_DIR_VARIABLE = "KERASOOD_DATA_DIR"
SOURCES = {"array": ArrayFileSource, "list": ListSource, "folder": FolderSource, "tfds": TfdsSource}
SPLITS_OF = {"array": array_splits, "folder": folder_splits, "tfds": prepared_splits}

for _name, _opener in OPENERS.items():
    built_in(_name, _opener)


def open_source(
    name: str, split: str = "test", options: DataOptions = DEFAULTS
) -> ImageSource:
    """Opens a split of a data set.

    A registered set is looked for as `<data_dir>/<name>.npz` or `.npy`, as the image folder or
    prepared TFDS directory `<data_dir>/<name>/`, as `<data_dir>/<tfds_name>/`, and in the directory
    of tensorflow-datasets; then as its published archive `<data_dir>/<file>`, which is prepared
    for TFDS beside it; then it is downloaded, if that is allowed and possible. The first of these
    that is there decides, also when it lacks the split.

    Args:
        name: registered name, or the path of an .npz or .npy file, of an image folder, or of a
            list of files (see `ListSource`). A folder whose name is that of a registered set is
            written with a slash: `./svhn`.
        split: `"train"`, `"validation"`, `"test"`; `"ood"`: the images to score as outliers, which
            is `"test"` where there are splits and otherwise everything; or `"outliers"`: auxiliary
            images to train with, which is `"train"` where there are splits and otherwise
            everything. Registered outlier sets have `"train"` alone, which is the same.
        options: where to look, and what becomes of the images.

    Raises:
        InvalidInputError: unknown name, missing directory or split, or unsuitable contents.
        MissingDataError: a registered set that is not on disk and may not or cannot be downloaded.
        StorageError: a download that failed, or an archive that could not be prepared.
    """
    found = _locate(name, options.data_dir)
    spec = found.spec
    if spec:
        split = _registered_split(spec, split)
    if lack := _lack(found, options):
        raise MissingDataError(lack)
    if found.kind == "built in":
        source = as_source(spec.opener(_published_split(spec, split), options), name, options)
        source.channels = options.channels
        return source
    kind, path = found.kind, found.path
    if kind in ("missing", "archive"):
        _published_split(spec, split)
        kind, path = _fetched(found)
    return SOURCES[kind](path, split, options, *((spec,) if kind != "list" else ()))


def availability(
    name: str, split: str = "test", options: DataOptions = DEFAULTS
) -> str | None:
    """Says in one line why a data set cannot be opened and how to get it, or returns None.

    Touches no network and decodes next to nothing: every set can be asked for at the start of a
    run.

    Args:
        name, split, options: see `open_source`.

    Raises:
        InvalidInputError: unknown name, or a data directory that does not exist.
    """
    found = _locate(name, options.data_dir)
    spec = found.spec
    try:
        if spec:
            split = _registered_split(spec, split)
        if lack := _lack(found, options):
            return lack
        if found.kind in ("missing", "archive"):
            _published_split(spec, split)
        elif found.kind == "tfds":
            stored_splits(found.path, split, spec)
        else:
            open_source(name, split, options.replace(download=False))
    except (ValueError, OSError) as error:
        return str(error) if str(error).startswith(name) else f"{name}: {error}"
    return None


def open_available(
    name: str, split: str = "test", options: DataOptions = DEFAULTS
) -> tuple[ImageSource | None, str | None]:
    """Opens a split of a data set that can be had, with a download where one is allowed.

    Args:
        name, split, options: see `open_source`.

    Returns:
        (the source, None), or (None, a line that says why there is none and how to get it).

    Raises:
        InvalidInputError: unknown name, or a data directory that does not exist.
    """
    lack = availability(name, split, options)
    try:
        return (open_source(name, split, options), None) if lack is None else (None, lack)
    except OSError as error:
        return None, str(error)


def available_splits(name: str, options: DataOptions = DEFAULTS) -> tuple[str, ...]:
    """Returns the splits (`"ood"` and `"outliers"` aside) that `open_source` serves for a data set.

    Raises:
        InvalidInputError, MissingDataError: as `open_source`.
    """
    found = _locate(name, options.data_dir)
    spec = found.spec
    if lack := _lack(found, options):
        raise MissingDataError(lack)
    if found.kind == "list":
        return list_splits(found.path)
    if found.kind in SPLITS_OF and not (spec and spec.outliers):
        return SPLITS_OF[found.kind](found.path, spec)
    return spec.splits


def size_of_arrays(name: str) -> tuple[int, int] | None:
    """The (height, width) of images in a file of arrays of one's own; None for all else.

    Args:
        name: see `open_source`.

    Raises:
        InvalidInputError: an unknown name, an unreadable file, or one without images to train with.
    """
    found = None if name in DATASETS else _of_path(name)
    return array_size(found.path) if found is not None and found.kind == "array" else None


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


def _locate(name: str, data_dir) -> Found:
    """Finds a data set on disk; touches no network.

    Raises:
        InvalidInputError: unknown name, a path that does not exist or is no kind of image data, or
            a data directory that does not exist.
    """
    roots = _roots(data_dir)
    if name not in DATASETS:
        return _of_path(name)
    spec = DATASETS[name]
    if spec.opener is not None:
        return Found("built in", None, spec)
    return Found(*_in_roots(spec, roots), spec, roots)


def _lack(found, options):
    """One line on where a set that cannot be had was looked for and how to get it, or None."""
    spec = found.spec
    if found.kind != "missing" or (options.download and spec.downloadable):
        return None
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


def _fetched(found):
    """Downloads what is missing and prepares an archive; returns (kind, path) of the result."""
    spec, path = found.spec, found.path
    root = found.roots[0] if found.roots else None
    if found.kind == "missing":
        if spec.archive is None:
            return "tfds", download_and_prepare(spec, root)
        path = fetch_archive(spec, root or default_root())
    return ("tfds", prepare(spec, path)) if spec.prepared_name else ("array", path)


def _registered_split(spec, split):
    if spec.outliers:
        if split not in (OUTLIERS, "train"):
            raise InvalidInputError(
                f"{spec.name}: no split {split!r}: these are images to train with, never a test "
                "set; splits there: train"
            )
        return OUTLIERS
    return "test" if split == OOD_SPLIT else split


def _published_split(spec, split):
    """Returns the split to take of a set as published; `"outliers"` means one of its own."""
    if split == OUTLIERS:
        return "train" if "train" in spec.splits else "test"
    if split not in spec.splits:
        raise InvalidInputError(
            f"{spec.name}: no split {split!r}; splits there: {', '.join(spec.splits)}"
        )
    return split
