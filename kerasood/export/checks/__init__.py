"""Checks that an exported file answers as Keras does."""
