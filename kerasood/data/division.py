"""Splits: those that data bring, and the fixed division of data that bring none."""
import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.logs import log

SPLITS = ("train", "validation", "test")
OOD_SPLIT = "ood"
OUTLIERS = "outliers"
# Repeated within each class, so that every part holds its share of every class.
TENTHS = ("test", *("train",) * 4, "validation", *("train",) * 4)


def balanced_parts(labels, pattern=TENTHS, seed: int = 0):
    """Assigns images to parts, class by class, so that each part has its share of every class.

    Args:
        labels: int `(N,)`.
        pattern: part names, assigned cyclically over the shuffled images of class 0, 1, ...
        seed: of the shuffle.

    Returns:
        `(N,)` array of part names.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    parts = np.empty(len(labels), dtype=object)
    parts[by_class] = np.resize(np.array(pattern, dtype=object), len(labels))
    return parts


def part_rows(labels, part: str, where):
    """Returns the increasing rows of one part of data that come without splits of their own."""
    rows = np.flatnonzero(balanced_parts(labels) == part)
    if not len(rows):
        raise InvalidInputError(
            f"{where}: too few images to divide into 80% train, 10% validation and 10% test; "
            f"{part!r} would be empty. Received: {len(labels)} images"
        )
    log.info("%s: %d of its %d images are %s (fixed seeded 80/10/10 division)",
                 where, len(rows), len(labels), part)
    return rows


def choose_split(
    where, split: str, named: tuple[str, ...], divisible: bool, unlabelled: str | None = None
):
    """Decides what a requested split means for a file or folder.

    `"ood"` asks for the images to score as outliers: the test split where there are splits,
    otherwise everything. `"outliers"` asks for images to train with that belong to no class: the
    training split where there are splits, otherwise everything; a single split is everything,
    whatever its name. Data in one piece are all `"test"`, unless they are divisible (a user's
    own labelled data): then each of train, validation and test is a fixed part of them.

    Args:
        where: path, for the error.
        split: the split asked for.
        named: splits that the data bring; empty for data in one piece.
        divisible: whether data in one piece may be divided for training.
        unlabelled: why a user's own data have no labels to divide them by, for the error.

    Returns:
        The named split to read, or None; and the part to take of it, or None for everything.

    Raises:
        ValueError: when there is no such split; names those that there are.
    """
    if named:
        meant = {OOD_SPLIT: "test", OUTLIERS: "train"}
        if split in meant:
            split = named[0] if len(named) == 1 else meant[split]
        if split in named:
            return split, None
    elif split in (OOD_SPLIT, OUTLIERS) or (split == "test" and not divisible):
        return None, None
    elif divisible and split in SPLITS:
        return None, split
    offered = ", ".join(named or offered_splits((), divisible))
    why = f" (labelled images in one piece would be divided; {unlabelled})" if unlabelled else ""
    raise InvalidInputError(
        f"{where}: no split {split!r}; splits there: {offered}{'' if named else why}"
    )


def offered_splits(named: tuple[str, ...], divisible: bool) -> tuple[str, ...]:
    """Returns the splits that `choose_split` can serve, `"ood"` and `"outliers"` aside."""
    return named or (SPLITS if divisible else ("test",))
