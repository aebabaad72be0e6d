"""The one table of detectors, which `register` extends."""

import typing

from kerasood.detectors.base import Detector
from kerasood.errors import InvalidInputError

DETECTORS: dict[str, type[Detector]] = {}


def register(name: str, detector_class: type[Detector] | None = None) -> typing.Any:
    """Adds a detector under a name; then `build`, the commands, OODModel and files take it.

    Args:
        name: str, letters, digits and underscores.
        detector_class: subclass of Detector; None to decorate one: `@register("mine")`.

    Returns:
        The class, or a decorator of it.

    Raises:
        ValueError: no Detector, a name of other characters, or one that another class has. A class
            that is defined anew in the same place, as in a notebook, replaces the old one.
    """
    if detector_class is None:
        return lambda decorated: register(name, decorated)
    if not (isinstance(detector_class, type) and issubclass(detector_class, Detector)):
        raise InvalidInputError(
            f"Expected a subclass of kerasood.detectors.Detector. Received: {detector_class!r}"
        )
    if not (isinstance(name, str) and name.isidentifier()) or name == "all":
        raise InvalidInputError(
            f"Expected a name of letters, digits and underscores, not 'all'. Received: {name!r}"
        )
    present = DETECTORS.get(name, detector_class)
    if _address(present) != _address(detector_class):
        raise InvalidInputError(
            f"Expected a name that no detector has. Received: {name!r}, which is "
            f"{present.__module__}.{present.__qualname__}"
        )
    DETECTORS[name] = detector_class
    return detector_class


def name_of(detector):
    """The name under which a detector's class is registered.

    Raises:
        ValueError: it is not, so that no file could be read back.
    """
    for name, detector_class in DETECTORS.items():
        if type(detector) is detector_class:
            return name
    kind = type(detector).__name__
    raise InvalidInputError(
        "Expected a registered detector, whose files can be read back: decorate its class by "
        f'@kerasood.detectors.register("name"). Received: detector={kind}'
    )


def _address(detector_class):
    return detector_class.__module__, detector_class.__qualname__
