"""Errors that are answers to a user: what was expected, and what was received.

The commands print these as one line; any other error is a fault and ends in a traceback.
"""


class KerasoodError(Exception):
    """Base of every error that kerasood raises on purpose."""


class InvalidInputError(KerasoodError, ValueError):
    """An argument, file or model is not what was expected."""


class MissingDataError(KerasoodError, FileNotFoundError):
    """Data or a file that is needed is not at hand; the message says how to get it."""


class StorageError(KerasoodError, OSError):
    """A file or folder cannot be read, written or downloaded."""
