"""From a name or path to an ImageSource: where things are looked for, and what is said if not."""
import os
import pathlib

from kerasood.data import embedded
from kerasood.data.arrays import NpzSource, npz_splits
from kerasood.data.base import OOD_SPLIT, ImageSource
from kerasood.data.generated import GeneratedSource
from kerasood.data.image_files import FolderSource, check_folder, folder_splits
from kerasood.data.registry import DATASETS, find
from kerasood.data.tfds_source import (
    TfdsSource,
    default_root,
    download_and_prepare,
    prepared_directory,
    prepared_splits,
    stored_splits,
)

DATA_DIR_VARIABLE = "KERASOOD_DATA_DIR"
AT_HAND = {"digits": embedded.digits, "digits_heldout": embedded.digits_heldout}


def open_source(
    name: str,
    split: str = "test",
    data_dir: str | None = None,
    download: bool = True,
    strict: bool = False,
    image_size: int = 32,
) -> ImageSource:
    """Opens a split of a data set.

    A registered set is looked for as `<data_dir>/<name>.npz`, as the image folder or prepared
    TFDS directory `<data_dir>/<name>/`, as `<data_dir>/<tfds_name>/`, and in the directory of
    tensorflow-datasets; then it is downloaded, if that is allowed and possible. The first place
    that has it decides, also when it lacks the split.

    Args:
        name: registered name, or the path of an .npz file or image folder. A folder whose name is
            that of a registered set is written with a slash: `./svhn`.
        split: `"train"`, `"validation"`, `"test"`, or `"ood"`: the images to score as outliers,
            which is `"test"` where there are splits and otherwise everything.
        data_dir: the data directory; `$KERASOOD_DATA_DIR` by default.
        download: whether the network may be used.
        strict: whether an unreadable image file is an error instead of being skipped.
        image_size: side of the images, pixels.

    Raises:
        ValueError: unknown name, missing directory or split, or unsuitable contents.
        FileNotFoundError: a registered set that is not on disk and may not or cannot be downloaded.
        OSError: a download that failed.
    """
    kind, place, spec = _locate(name, data_dir)
    if spec:
        split = _registered_split(split)
    if kind == "missing":
        if not (download and spec.tfds_name):
            raise FileNotFoundError(_not_found(spec, place))
        _check_published(spec, split)
        kind, place = "tfds", download_and_prepare(spec, place[0] if place else None)
    if kind == "at hand":
        _check_published(spec, split)
        if spec.name in AT_HAND:
            return AT_HAND[spec.name](split, image_size)
        return GeneratedSource(spec.name, image_size)
    if kind == "npz":
        return NpzSource(place, split, image_size, spec)
    if kind == "folder":
        return FolderSource(place, split, image_size, strict, spec)
    return TfdsSource(place, split, image_size, spec)


def availability(
    name: str,
    split: str = "test",
    data_dir: str | None = None,
    download: bool = True,
    image_size: int = 32,
) -> str | None:
    """Says in one line why a data set cannot be opened and how to get it, or returns None.

    Touches no network and reads next to nothing: every set can be asked for at the start of a run.

    Args:
        name, split, data_dir, download, image_size: see `open_source`.

    Raises:
        ValueError: unknown name, or a data directory that does not exist.
    """
    kind, place, spec = _locate(name, data_dir)
    try:
        if kind == "missing":
            if not (download and spec.tfds_name):
                return _not_found(spec, place)
            _check_published(spec, _registered_split(split))
        elif kind == "tfds":
            stored_splits(place, _registered_split(split), spec)
        elif kind == "folder" and spec:
            check_folder(place, _registered_split(split), image_size, spec)
        else:
            open_source(name, split, data_dir, download=False, image_size=image_size)
    except (ValueError, OSError) as error:
        return str(error) if str(error).startswith(name) else f"{name}: {error}"
    return None


def available_splits(
    name: str, data_dir: str | None = None, download: bool = True
) -> tuple[str, ...]:
    """Returns the splits (`"ood"` aside) that `open_source` serves for a data set.

    Raises:
        ValueError, FileNotFoundError: as `open_source`.
    """
    kind, place, spec = _locate(name, data_dir)
    if kind == "npz":
        return npz_splits(place, spec)
    if kind == "folder":
        return folder_splits(place, spec)
    if kind == "tfds":
        return prepared_splits(place, spec)
    if kind == "missing" and not (download and spec.tfds_name):
        raise FileNotFoundError(_not_found(spec, place))
    return spec.splits


def _locate(name, data_dir):
    """Returns (kind, place, spec): spec is None for a path; a missing set's place: directories."""
    roots = _roots(data_dir)
    if name not in DATASETS:
        path = pathlib.Path(name).expanduser()
        if path.is_dir():
            return "folder", path, None
        if path.is_file() and path.suffix == ".npz":
            return "npz", path, None
        _refuse_path(name, path)
    spec = find(name)
    if spec.source in ("embedded", "generated"):
        return "at hand", None, spec
    return *_place_of(spec, roots), spec


def _place_of(spec, roots):
    for root in roots:
        npz, folder = root / f"{spec.name}.npz", root / spec.name
        if npz.is_file():
            return "npz", npz
        if folder.is_dir() and not list(folder.glob("*/dataset_info.json")):
            return "folder", folder
    if spec.tfds_name:
        for root in (*roots, default_root()):
            directory = prepared_directory(root, spec.tfds_name)
            if directory:
                return "tfds", directory
    return "missing", roots


def _roots(data_dir):
    given = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if not given:
        return ()
    root = pathlib.Path(given).expanduser()
    if not root.is_dir():
        source = "data_dir" if data_dir else DATA_DIR_VARIABLE
        raise ValueError(f"Expected a data directory that exists. Received: {source}={given}")
    return (root,)


def _refuse_path(name, path):
    if path.is_file():
        raise ValueError(f"Expected an .npz file or an image folder. Received: name={name!r}")
    if path.suffix == ".npz" or "/" in name or os.sep in name:
        raise ValueError(f"Expected a path that exists. Received: name={name!r}")


def _registered_split(split):
    return "test" if split == OOD_SPLIT else split


def _check_published(spec, split):
    if split not in spec.splits:
        raise ValueError(
            f"{spec.name}: no split {split!r}; splits there: {', '.join(spec.splits)}"
        )


def _not_found(spec, roots):
    places = [str(root) for root in roots]
    if spec.tfds_name:
        places.append(str(default_root()))
    where = f" in {', '.join(places)}" if places else ""
    hint = "" if roots else f" (no data directory given: data_dir or {DATA_DIR_VARIABLE})"
    return f"{spec.name}: not found{where}{hint}; {spec.how_to_get}"
