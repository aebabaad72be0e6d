"""What goes wrong in an export, by whose fault."""


class ExportMismatch(ValueError):
    """An exported file answers otherwise than the Keras model it was made from."""


class Inexpressible(ValueError):
    """A format lacks what the model needs: an op, or gradients."""
