"""Errors of an export, by whose fault it is."""

import typing

from kerasood.errors import InvalidInputError


class ExportMismatch(InvalidInputError):
    """An exported file answers otherwise than the Keras model it was made from.

    `results` is what `replay` returned, where the error comes from `verify_export`.
    """

    def __init__(self, message: str, results: typing.Any = None):
        super().__init__(message)
        self.results = results


class Inexpressible(InvalidInputError):
    """A format lacks what the model needs: an op, or gradients."""
