"""The commands: flags in, a story over the library, files out."""

import os

from kerasood.quiet import quiet

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# TensorFlow's first import writes to stderr past every log level.
with quiet():
    import keras  # noqa: F401
