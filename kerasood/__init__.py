"""Out-of-distribution detection for Keras 3 that ships inside the exported graph."""

__version__ = "0.1.0"
