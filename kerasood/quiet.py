"""Silence for native code."""

import contextlib
import os
import sys
import threading

_lock = threading.Lock()
_muted = 0
_screen = None


@contextlib.contextmanager
def quiet():
    """Keeps what TensorFlow's native code writes to stderr off the screen.

    The converters log dozens of harmless lines past Python's logging, and their level can only be
    set before TensorFlow is first imported. Errors arrive as exceptions, which carry the message.
    May be nested and used by several threads: the last one to leave brings stderr back.
    """
    if sys.stderr is None:
        yield
        return
    _mute()
    try:
        yield
    finally:
        _unmute()


def _mute():
    global _muted, _screen
    with _lock:
        if not _muted:
            sys.stderr.flush()
            _screen = os.dup(2)
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
        _muted += 1


def _unmute():
    global _muted
    with _lock:
        _muted -= 1
        if not _muted:
            sys.stderr.flush()
            os.dup2(_screen, 2)
            os.close(_screen)
