"""Where the images of a set are: what is looked for, in which order, and what is said if not."""
import os
import pathlib

from kerasood.data.registry import DATASETS, find
from kerasood.data.tfds import default_root, prepared_directory
from kerasood.errors import InvalidInputError

DATA_DIR_VARIABLE = "KERASOOD_DATA_DIR"
ARRAY_KINDS = {".npz": "npz", ".npy": "npy"}


def locate(name: str, data_dir: str | None):
    """Finds a data set on disk; touches no network.

    Args:
        name, data_dir: see `open_source`.

    Returns:
        kind: `"npz"`, `"npy"`, `"folder"`, `"tfds"`, `"archive"`, `"at hand"` or `"missing"`.
        place: the path; None for `"at hand"`; the directories looked in for `"missing"`.
        spec: DatasetSpec, or None for a path.

    Raises:
        ValueError: unknown name, a path that does not exist or is neither array file nor folder,
            or a data directory that does not exist.
    """
    roots = _roots(data_dir)
    if name not in DATASETS:
        path = pathlib.Path(name).expanduser()
        if path.is_dir():
            return "folder", path, None
        if path.is_file() and path.suffix in ARRAY_KINDS:
            return ARRAY_KINDS[path.suffix], path, None
        _refuse_path(name, path)
    spec = find(name)
    if spec.source in ("embedded", "generated"):
        return "at hand", None, spec
    return *_place_of(spec, roots), spec


def missing(spec, roots) -> str:
    """Returns one line that says where a set was looked for and how to get it."""
    places = [str(root) for root in roots]
    if spec.downloadable:
        places.append(str(default_root()))
    where = f" in {', '.join(places)}" if places else ""
    hint = "" if roots else f" (no data directory given: data_dir or {DATA_DIR_VARIABLE})"
    return f"{spec.name}: not found{where}{hint}; {spec.how_to_get}"


def _place_of(spec, roots):
    for root in roots:
        for suffix, kind in ARRAY_KINDS.items():
            if (root / f"{spec.name}{suffix}").is_file():
                return kind, root / f"{spec.name}{suffix}"
        folder = root / spec.name
        if folder.is_dir() and not _is_of_tfds(folder):
            return "folder", folder
    everywhere = (*roots, default_root())
    if spec.prepared_name:
        for root in everywhere:
            directory = prepared_directory(root, spec.prepared_name)
            if directory:
                return "tfds", directory
    if spec.archive:
        for root in everywhere:
            file = root / spec.archive.file
            if file.is_file():
                return ARRAY_KINDS.get(file.suffix, "archive"), file
    return "missing", roots


def _is_of_tfds(folder):
    """Whether a folder holds a prepared set, or nothing but what a killed preparation left."""
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


def _refuse_path(name, path):
    if path.is_file():
        raise InvalidInputError(
            f"Expected an .npz or .npy file or an image folder. Received: name={name!r}"
        )
    if path.suffix in ARRAY_KINDS or "/" in name or os.sep in name:
        raise InvalidInputError(f"Expected a path that exists. Received: name={name!r}")
