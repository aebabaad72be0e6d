"""Which OOD sets an evaluation uses, and what its reports must say about each."""

from kerasood.data import registry
from kerasood.data.open import availability, open_source
from kerasood.errors import InvalidInputError
from kerasood.evaluation.measure import OWN_SETS


def wanted_sets(config, names, image_size=32):
    """The OOD sets that a configuration asks for.

    Args:
        config: EvaluateConfig.
        names: registered names that "all" means.
        image_size: int, pixels.

    Returns:
        ({name: name or path} of those at hand, [{"name", "title", "how_to_get"}] of those missing).

    Raises:
        ValueError: a set named by the user is not at hand, or two would be confused.
    """
    wanted, missing = {}, []
    for item in config.ood:
        if item == "all":
            at_hand, lacking = at_hand_or_missing(config, names, image_size)
            wanted |= {name: name for name in at_hand}
            missing += lacking
            continue
        name, _, path = item.partition("=")
        if name in OWN_SETS or wanted.get(name, path or name) != (path or name):
            raise InvalidInputError(
                "Expected every OOD set under a name of its own (name=path), other than "
                f"{', '.join(OWN_SETS)}. Received: {item}"
            )
        lack = availability(path or name, "ood", config.data.replace(image_size=image_size))
        if lack is not None:
            raise InvalidInputError(f"Expected an OOD set that is at hand. Received: {lack}")
        wanted[name] = path or name
    return wanted, missing


def at_hand_or_missing(config, names, image_size=32):
    """Registered sets: (names of those at hand, [{"name", "title", "how_to_get"}] of the rest).

    Sets that may be downloaded are, so that what cannot be had is known before the work begins.
    """
    at_hand, missing = [], []
    for name in names:
        lack = availability(name, "ood", config.data.replace(image_size=image_size))
        if lack is None:
            lack = _download_error(config, name, image_size)
        if lack is None:
            at_hand.append(name)
        else:
            title = registry.DATASETS[name].title
            missing.append({"name": name, "title": title, "how_to_get": lack})
    return at_hand, missing


def _download_error(config, name, image_size):
    try:
        open_source(name, "ood", config.data.replace(image_size=image_size))
    except OSError as error:
        return str(error)
    return None


def open_sets(config, wanted, image_size=32):
    """{name: ImageSource} of {name: name or path}, squares of `image_size` pixels."""
    options = config.data.replace(image_size=image_size)
    return {name: open_source(path, "ood", options) for name, path in wanted.items()}


def set_entry(name, source, dataset, num_in, protocol, overlaps=()):
    """The entry of results["sets"]; its note is what a reader of its numbers must know.

    Args:
        name: str, under which it was asked for.
        source: ImageSource.
        dataset: name or path of the in-distribution set.
        num_in: int, number of in-distribution test images.
        protocol: Protocol.
        overlaps: str per model that was trained on images of this set.
    """
    spec = registry.DATASETS.get(name)
    notes = [registry.count_note(name, source.num_images)]
    notes += [protocol.note(num_in, source.num_images), size_note(source)]
    if spec is not None and spec.stand_in_for:
        notes.append(f"stand-in for {spec.stand_in_for}, not that set")
    if source.skipped:
        notes.append(f"{len(source.skipped)} unreadable files left out")
    return {
        "name": name,
        "title": spec.title if spec is not None else name,
        "role": protocol.role(name, dataset),
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
    """What to say of runs whose training outliers share images with an OOD set: list of str.

    Args:
        runs: list of Runs.
        name: str, of the OOD set.
    """
    said = []
    for run in runs:
        outliers = getattr(run.config, "outliers", None)
        shared = registry.overlap(outliers, name) if outliers else None
        if shared:
            said.append(f"NO FAIR TEST of {run.path.name}, trained on {outliers}: {shared}")
    return said
