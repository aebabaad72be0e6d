"""From a name or path to an ImageSource."""
from kerasood.data import embedded
from kerasood.data.adapters import as_source
from kerasood.data.archives.download import fetch_archive
from kerasood.data.arrays import ArrayFileSource, array_splits
from kerasood.data.division import OOD_SPLIT, OUTLIERS
from kerasood.data.folders import FolderSource, check_folder, folder_splits
from kerasood.data.generated import MAKERS, GeneratedSource
from kerasood.data.lists import ListSource, list_splits
from kerasood.data.locate import locate, not_found
from kerasood.data.options import DEFAULTS, DataOptions
from kerasood.data.registry import built_in
from kerasood.data.source import ImageSource
from kerasood.data.tfds import (
    TfdsSource,
    default_root,
    download_and_prepare,
    prepare,
    prepared_splits,
    stored_splits,
)
from kerasood.errors import InvalidInputError, MissingDataError

SOURCES = {"array": ArrayFileSource, "list": ListSource, "folder": FolderSource, "tfds": TfdsSource}
SPLITS_OF = {"array": array_splits, "folder": folder_splits, "tfds": prepared_splits}

built_in("digits", embedded.digits)
built_in("digits_heldout", embedded.digits_heldout)
for _name in MAKERS:
    built_in(_name, lambda split, options, name=_name: GeneratedSource(name, options.image_size))


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
    found = locate(name, options.data_dir)
    spec = found.spec
    if spec:
        split = _registered_split(spec, split)
    if found.kind == "missing" and not (options.download and spec.downloadable):
        raise MissingDataError(not_found(found))
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

    Touches no network and reads next to nothing: every set can be asked for at the start of a run.

    Args:
        name, split, options: see `open_source`.

    Raises:
        InvalidInputError: unknown name, or a data directory that does not exist.
    """
    found = locate(name, options.data_dir)
    spec = found.spec
    try:
        if spec:
            split = _registered_split(spec, split)
        if found.kind == "missing" and not (options.download and spec.downloadable):
            return not_found(found)
        if found.kind in ("missing", "archive"):
            _published_split(spec, split)
        elif found.kind == "tfds":
            stored_splits(found.path, split, spec)
        elif found.kind == "folder" and spec:
            check_folder(found.path, split, options, spec)
        else:
            open_source(name, split, options.replace(download=False))
    except (ValueError, OSError) as error:
        return str(error) if str(error).startswith(name) else f"{name}: {error}"
    return None


def available_splits(name: str, options: DataOptions = DEFAULTS) -> tuple[str, ...]:
    """Returns the splits (`"ood"` and `"outliers"` aside) that `open_source` serves for a data set.

    Raises:
        InvalidInputError, MissingDataError: as `open_source`.
    """
    found = locate(name, options.data_dir)
    spec = found.spec
    if found.kind == "missing" and not (options.download and spec.downloadable):
        raise MissingDataError(not_found(found))
    if found.kind == "list":
        return list_splits(found.path)
    if found.kind in SPLITS_OF and not (spec and spec.outliers):
        return SPLITS_OF[found.kind](found.path, spec)
    return spec.splits


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
