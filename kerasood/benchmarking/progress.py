"""A progress bar as Keras users know it, for passes over many images."""

import sys

import keras


def progress_of(verbose):
    """Display of progress: function of (title, number of images) -> function of images done.

    Args:
        verbose: "auto", 0 or 1 as in `keras.Model.fit`, "auto" being 1 in a terminal and else 0;
            or such a function, which is returned as it is.
    """
    if callable(verbose):
        return verbose
    if verbose == "auto":
        verbose = sys.stdout.isatty()
    return _keras_bar if verbose else None


def _keras_bar(title, total):
    print(title)
    return keras.utils.Progbar(total, unit_name="image").add
