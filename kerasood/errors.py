"""Errors that are answers to a user: what was expected, and what was received.

The commands print these as one line; any other error is a fault and ends in a traceback.
"""

import math
import numbers


class KerasoodError(Exception):
    """Base of every error that kerasood raises on purpose."""


class InvalidInputError(KerasoodError, ValueError):
    """An argument, file or model is not what was expected."""


class MissingDataError(KerasoodError, FileNotFoundError):
    """Data or a file that is needed is not at hand; the message says how to get it."""


class StorageError(KerasoodError, OSError):
    """A file or folder cannot be read, written or downloaded."""


def check_positive(**values):
    """Raises InvalidInputError unless each of the named values is a number above 0."""
    _check(values, lambda value: value > 0, "> 0")


def check_whole(least, /, **values):
    """Raises InvalidInputError unless each of the named values is an int of at least `least`."""
    _check(values, lambda value: value >= least, f">= {least}, a whole number", numbers.Integral)


def check_whole_or_none(least, /, **values):
    """Raises InvalidInputError unless each value is None or an int of at least `least`."""
    check_whole(least, **{name: value for name, value in values.items() if value is not None})


def check_not_negative(**values):
    """Raises InvalidInputError unless each of the named values is a number of at least 0."""
    _check(values, lambda value: value >= 0, ">= 0")


def check_share(**values):
    """Raises InvalidInputError unless each of the named values is a number in (0, 1)."""
    _check(values, lambda value: 0 < value < 1, "in (0, 1)")


def check_fraction(**values):
    """Raises InvalidInputError unless each of the named values is a number in [0, 1]."""
    _check(values, lambda value: 0 <= value <= 1, "in [0, 1]")


def _check(values, holds, wanted, kind=numbers.Real):
    for name, value in values.items():
        is_number = isinstance(value, kind) and not isinstance(value, bool)
        if is_number and value == math.inf:
            wanted = f"{wanted} and finite"
        if not (is_number and holds(value) and value < math.inf):
            raise InvalidInputError(f"Expected {name} {wanted}. Received: {name}={value!r}")
