"""What the newest packages for the oldest Python cannot do."""

import importlib.metadata


def answers_no_images(format_name):
    """Whether files of a format can be asked about no images at all.

    ONNX Runtime 1.23, the last for Python 3.10, refuses to add a row of constants to no rows.
    """
    if format_name != "onnx":
        return True
    major, minor = importlib.metadata.version("onnxruntime").split(".")[:2]
    return (int(major), int(minor)) > (1, 23)
