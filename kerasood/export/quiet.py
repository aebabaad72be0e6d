"""Silence for native code."""

import contextlib
import os
import sys


@contextlib.contextmanager
def quiet():
    """Keeps what TensorFlow's native code writes to stderr off the screen.

    The converters log dozens of harmless lines past Python's logging, and their level can only be
    set before TensorFlow is first imported. Errors arrive as exceptions, which carry the message.
    """
    sys.stderr.flush()
    screen = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(screen, 2)
        os.close(screen)
