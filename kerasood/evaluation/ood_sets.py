"""OOD sets of an evaluation: found, opened, and what its reports must say about each."""

import collections.abc
import pathlib

from kerasood.data import registry, roles
from kerasood.data.adapters import as_source
from kerasood.data.division import OOD_SPLIT
from kerasood.data.open import open_available
from kerasood.data.source import ImageSource
from kerasood.errors import InvalidInputError
from kerasood.names import check_keys

# What a model's other sets are called in results; no OOD set may be.
OWN_SETS = ("in", "train", "calibration")


def named_sets(items):
    """{name: name or path} of "all", names, paths, and name=path.

    Names and paths may hold "=": a name ends at the first one that is followed by a path.

    Args:
        items: sequence of str.

    Raises:
        ValueError: two sets that would be confused, with each other or with a model's own.
    """
    named = {}
    for item in items:
        name, path = _name_and_path(item)
        if name in OWN_SETS or named.get(name, path) != path:
            raise InvalidInputError(
                "Expected every OOD set under a name of its own (name=path), other than "
                f"{', '.join(OWN_SETS)}. Received: {item}"
            )
        named[name] = path
    return named


def _name_and_path(item):
    parts = item.split("=")
    ends = range(1, len(parts))
    pairs = [(item, item), *(("=".join(parts[:end]), "=".join(parts[end:])) for end in ends)]
    there = (pair for pair in pairs if pair[1] and pathlib.Path(pair[1]).expanduser().exists())
    name, path = next(there, (parts[0], "=".join(parts[1:])))
    return name, path or name


def open_sets(ood_sets, names, options, required=True):
    """OOD sets by name; those of "all" that are at hand, and what is missing of them.

    Args:
        ood_sets: "all", a name or path, a list of these, or {name: images, name or path}; the
            key "all" with the value "all" stands for all.
        names: registered names that "all" means.
        options: DataOptions.
        required: bool, whether having none is an error.

    Returns:
        ({name: ImageSource}, [{"name", "title", "how_to_get"}] of those missing).

    Raises:
        ValueError: a set named by the user is not at hand, or has a name of a model's own sets.
    """
    sources, missing = {}, []
    for name, value in _by_name(ood_sets).items():
        if isinstance(value, str | pathlib.Path) and str(value) == name == "all":
            at_hand, lacking = at_hand_or_missing(names, options)
            sources |= at_hand
            missing += lacking
        else:
            sources[name] = _opened(name, value, options)
    if (required and not sources) or not sources.keys().isdisjoint(OWN_SETS):
        raise InvalidInputError(
            f"Expected OOD sets that are at hand, none named {', '.join(OWN_SETS)}. "
            f"Received: {', '.join(sources) or 'none'}"
            + "".join(f"; {entry['how_to_get']}" for entry in missing)
        )
    return sources, missing


def at_hand_or_missing(names, options):
    """Registered sets: ({name: ImageSource} of those at hand, entries of the rest).

    Sets that may be downloaded are, so that what cannot be had is known before the work begins.
    """
    at_hand, missing = {}, []
    for name in names:
        source, lack = open_available(name, OOD_SPLIT, options)
        if source is not None:
            at_hand[name] = source
        else:
            title = registry.DATASETS[name].title
            missing.append({"name": name, "title": title, "how_to_get": lack})
    return at_hand, missing


def _by_name(ood_sets):
    if isinstance(ood_sets, collections.abc.Mapping):
        check_keys("OOD set", ood_sets)
        return ood_sets
    is_list = isinstance(ood_sets, collections.abc.Iterable) and not isinstance(ood_sets, str)
    named = {}
    for item in ood_sets if is_list else [ood_sets]:
        if not isinstance(item, str | pathlib.Path):
            shape = f" of shape={ood_sets.shape}" if hasattr(ood_sets, "shape") else ""
            raise InvalidInputError(
                "Expected names or paths of OOD sets, or {name: images}. "
                f"Received: {type(ood_sets).__name__}{shape}"
            )
        named[str(item)] = item
    return named


def _opened(name, value, options):
    if not isinstance(value, str | pathlib.Path):
        return as_source(value, name)
    source, lack = open_available(str(value), OOD_SPLIT, options)
    if source is None:
        raise InvalidInputError(f"Expected an OOD set that is at hand. Received: {lack}")
    return source


def own_sets(ood_sets):
    """Names of registered sets that were given to other images: a set of str.

    Args:
        ood_sets: see `open_sets`.
    """
    return {
        name
        for name, value in _by_name(ood_sets).items()
        if name in registry.DATASETS
        and name != (value.name if isinstance(value, ImageSource) else str(value))
    }


def set_entry(name, source, dataset, num_in, protocol, overlaps=(), own=False):
    """The entry of results["sets"]; its note is what a reader of its numbers must know.

    Args:
        name: str, under which it was asked for.
        source: ImageSource.
        dataset: name or path of the in-distribution set.
        num_in: int, number of in-distribution test images.
        protocol: Protocol.
        overlaps: str per model that was trained on images of this set.
        own: bool, whether a registered name was given to other images, see `own_sets`.
    """
    spec = None if own else registry.DATASETS.get(name)
    known_as = f"own {name}" if own else name
    notes = [roles.count_note(known_as, source.num_images)]
    if own:
        notes.append(f"the user's own images, not {registry.DATASETS[name].title}")
    notes += [protocol.note(num_in, source.num_images), size_note(source)]
    if spec is not None and spec.stand_in_for:
        notes.append(f"stand-in for {spec.stand_in_for}, not that set")
    if source.skipped:
        notes.append(f"{len(source.skipped)} unreadable files left out")
    return {
        "name": name,
        "title": spec.title if spec is not None else name,
        "role": protocol.role(known_as, dataset),
        "num_images": source.num_images,
        "published_images": spec.published_images if spec is not None else None,
        "note": "; ".join(note for note in (*notes, *overlaps) if note),
    }


def size_note(source):
    """Says from which size all images of a source were resized, where they were: str or None."""
    if source.resized_from is None:
        return None
    height, width = source.resized_from
    return f"resized from {height}x{width} to {source.image_size}x{source.image_size} pixels"


def overlaps_with(runs, name):
    """Warnings about runs whose training outliers share images with an OOD set: list of str.

    Args:
        runs: list of Runs.
        name: str, of the OOD set.
    """
    said = []
    for run in runs:
        outliers = getattr(run.config, "outliers", None)
        shared = roles.overlap(outliers, name) if outliers else None
        if shared:
            said.append(f"NO FAIR TEST of {run.path.name}, trained on {outliers}: {shared}")
    return said
