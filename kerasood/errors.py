"""Errors that are answers to a user: what was expected, and what was received.

The commands print these as one line; any other error is a fault and ends in a traceback.
"""

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


def check_positive_or_none(**values):
    """Raises InvalidInputError unless each of the named values is None or a number above 0."""
    check_positive(**{name: value for name, value in values.items() if value is not None})


def check_not_negative(**values):
    """Raises InvalidInputError unless each of the named values is a number of at least 0."""
    _check(values, lambda value: value >= 0, ">= 0")


def check_share(**values):
    """Raises InvalidInputError unless each of the named values is a number in (0, 1)."""
    _check(values, lambda value: 0 < value < 1, "in (0, 1)")


def check_fraction(**values):
    """Raises InvalidInputError unless each of the named values is a number in [0, 1]."""
    _check(values, lambda value: 0 <= value <= 1, "in [0, 1]")


def _check(values, holds, wanted):
    for name, value in values.items():
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not (is_number and holds(value)):
            raise InvalidInputError(f"Expected {name} {wanted}. Received: {name}={value!r}")
