"""Roles of sets for each other: near or far, never OOD, or trained on; and incomplete ones."""
import pathlib

from kerasood.data.registry import DATASETS


def role(name: str, in_name: str) -> str:
    """Returns what a set is to an in-distribution set.

    Args:
        name: registered name; anything else (a user's own set) is far.
        in_name: the in-distribution set, a registered name or a path.

    Returns:
        `"near"`, `"far"` or `"synthetic"` for OOD sets; `"outliers"` for auxiliary training images.
    """
    spec = DATASETS.get(name)
    if spec is None:
        return "far"
    if spec.outliers:
        return "outliers"
    if spec.synthetic:
        return "synthetic"
    return "near" if in_name in spec.near_for else "far"


def count_note(name: str, num_images: int) -> str:
    """Says how many of the published images there are, where they are not as many: or `""`.

    Args:
        name: registered name or path.
        num_images: how many there are.
    """
    spec = DATASETS.get(name)
    published = spec and spec.published_images
    if not published or num_images == published:
        return ""
    if num_images < published:
        return f"{num_images:,} of {published:,} images"
    return f"{num_images:,} images, more than the usual {published:,}"


def ood_names(in_name: str) -> tuple[str, ...]:
    """Returns the registered sets that may serve as OOD for `in_name`, in table order."""
    return tuple(name for name in DATASETS if _is_ood_for(DATASETS[name], in_name))


def _is_ood_for(spec, in_name):
    if spec.outliers or spec.name == in_name or in_name in spec.never_for:
        return False
    return not spec.only_for or in_name in spec.only_for


def overlap(outliers_name: str, ood_name: str) -> str | None:
    """Says why a model that was trained with outliers must not be tested on a set.

    Args:
        outliers_name: the auxiliary training set, a registered name or a path; a file or folder
            that bears a registered name is taken for that set.
        ood_name: the test set, likewise.

    Returns:
        One line, or None when nothing is known against it.
    """
    if pathlib.Path(outliers_name) == pathlib.Path(ood_name):
        return f"{ood_name} is the set of outliers that the model was trained with"
    seen, tested = (DATASETS.get(_bare_name(name)) for name in (outliers_name, ood_name))
    if seen is None or tested is None:
        return None
    if seen is tested:
        return f"{outliers_name} and {ood_name} are both {seen.title}"
    if seen.collection is not None and seen.collection == tested.collection:
        return f"{outliers_name} and {ood_name} may share images: both come from {seen.collection}"
    return None


def _bare_name(name):
    path = pathlib.Path(name)
    return path.stem if path.suffix in (".npz", ".npy") else path.name
