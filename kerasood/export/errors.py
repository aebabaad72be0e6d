"""Errors of an export, by whose fault it is."""

from kerasood.errors import InvalidInputError


class ExportMismatch(InvalidInputError):
    """An exported file answers otherwise than the Keras model it was made from."""


class Inexpressible(InvalidInputError):
    """A format lacks what the model needs: an op, or gradients."""
