"""Keras models around a network, one per objective."""
