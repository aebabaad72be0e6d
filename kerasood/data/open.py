"""From a name or path to an ImageSource."""
from kerasood.data import embedded
from kerasood.data.archives.download import fetch_archive
from kerasood.data.arrays import NpzSource, npz_splits
from kerasood.data.folders import FolderSource, check_folder, folder_splits
from kerasood.data.generated import GeneratedSource
from kerasood.data.npy import NpySource
from kerasood.data.options import DEFAULTS, DataOptions
from kerasood.data.places import locate, missing
from kerasood.data.source import OOD_SPLIT, OUTLIERS, ImageSource, offered_splits
from kerasood.data.tfds import (
    TfdsSource,
    default_root,
    download_and_prepare,
    prepare,
    prepared_splits,
    stored_splits,
)
from kerasood.errors import InvalidInputError, MissingDataError

AT_HAND = {"digits": embedded.digits, "digits_heldout": embedded.digits_heldout}


def open_source(
    name: str,
    split: str = "test",
    options: DataOptions = DEFAULTS,
) -> ImageSource:
    """Opens a split of a data set.

    A registered set is looked for as `<data_dir>/<name>.npz` or `.npy`, as the image folder or
    prepared TFDS directory `<data_dir>/<name>/`, as `<data_dir>/<tfds_name>/`, and in the directory
    of tensorflow-datasets; then as its published archive `<data_dir>/<file>`, which is prepared
    for TFDS beside it; then it is downloaded, if that is allowed and possible. The first place that
    has it decides, also when it lacks the split.

    Args:
        name: registered name, or the path of an .npz or .npy file or image folder. A folder whose
            name is that of a registered set is written with a slash: `./svhn`.
        split: `"train"`, `"validation"`, `"test"`; `"ood"`: the images to score as outliers, which
            is `"test"` where there are splits and otherwise everything; or `"outliers"`: auxiliary
            images to train with, which is `"train"` where there are splits and otherwise
            everything. Registered outlier sets have `"train"` alone, which is the same.
        options: where to look, and what becomes of the images.

    Raises:
        ValueError: unknown name, missing directory or split, or unsuitable contents.
        FileNotFoundError: a registered set that is not on disk and may not or cannot be downloaded.
        OSError: a download that failed, or an archive that could not be prepared.
    """
    kind, place, spec = locate(name, options.data_dir)
    image_size = options.image_size
    if spec:
        split = _registered_split(spec, split)
    if kind == "missing" and not (options.download and spec.downloadable):
        raise MissingDataError(missing(spec, place))
    if kind == "at hand":
        return _at_hand(spec, _published_split(spec, split), image_size)
    if kind in ("missing", "archive"):
        _published_split(spec, split)
        kind, place = _fetched(kind, place, spec)
    if kind == "npz":
        return NpzSource(place, split, image_size, spec)
    if kind == "npy":
        return NpySource(place, split, image_size, spec)
    if kind == "folder":
        return FolderSource(place, split, image_size, options.strict, spec)
    return TfdsSource(place, split, image_size, spec)


def availability(
    name: str,
    split: str = "test",
    options: DataOptions = DEFAULTS,
) -> str | None:
    """Says in one line why a data set cannot be opened and how to get it, or returns None.

    Touches no network and reads next to nothing: every set can be asked for at the start of a run.

    Args:
        name, split, options: see `open_source`.

    Raises:
        ValueError: unknown name, or a data directory that does not exist.
    """
    kind, place, spec = locate(name, options.data_dir)
    try:
        if spec:
            split = _registered_split(spec, split)
        if kind == "missing" and not (options.download and spec.downloadable):
            return missing(spec, place)
        if kind in ("missing", "archive"):
            _published_split(spec, split)
        elif kind == "tfds":
            stored_splits(place, split, spec)
        elif kind == "folder" and spec:
            check_folder(place, split, options.image_size, spec)
        else:
            open_source(name, split, options.replace(download=False))
    except (ValueError, OSError) as error:
        return str(error) if str(error).startswith(name) else f"{name}: {error}"
    return None


def available_splits(
    name: str, options: DataOptions = DEFAULTS
) -> tuple[str, ...]:
    """Returns the splits (`"ood"` and `"outliers"` aside) that `open_source` serves for a data set.

    Raises:
        ValueError, FileNotFoundError: as `open_source`.
    """
    kind, place, spec = locate(name, options.data_dir)
    if kind == "missing" and not (options.download and spec.downloadable):
        raise MissingDataError(missing(spec, place))
    if spec and spec.outliers:
        return spec.splits
    if kind == "npz":
        return npz_splits(place, spec)
    if kind == "folder":
        return folder_splits(place, spec)
    if kind == "tfds":
        return prepared_splits(place, spec)
    if kind == "npy":
        return offered_splits((), divisible=False)
    return spec.splits


def _at_hand(spec, split, image_size):
    if spec.name in AT_HAND:
        return AT_HAND[spec.name](split, image_size)
    return GeneratedSource(spec.name, image_size)


def _fetched(kind, place, spec):
    """Downloads what is missing and prepares an archive; returns (kind, place) of the result."""
    if kind == "missing":
        if spec.archive is None:
            return "tfds", download_and_prepare(spec, place[0] if place else None)
        place = fetch_archive(spec, place[0] if place else default_root())
    return ("tfds", prepare(spec, place)) if spec.prepared_name else ("npy", place)


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
