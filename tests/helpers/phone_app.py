"""The steps of kerasood/export/deploy/phone in Python, with Pillow as the decoder."""

import io
import json

import numpy as np
from PIL import Image

from kerasood.export.formats.tflite import open_tflite

ORIENTATION = 0x0112


class App:
    """An app with the three files of a folder among its assets."""

    def __init__(self, folder):
        self.metadata = json.loads((folder / "model.tflite.json").read_text())
        self.labels = (folder / "labels.txt").read_text().rstrip("\n").split("\n")
        self.runner = open_tflite(folder / "model.tflite").get_signature_runner("serving_default")

    def pixels(self, file):
        with Image.open(io.BytesIO(file)) as image:
            orientation = image.getexif().get(ORIENTATION, 1)
            rgb = upright(np.asarray(image.convert("RGB")), orientation)
        return square(rgb, self.metadata["image_shape"][0], **self.metadata["preprocessing"])

    def answer(self, pixels):
        """(label, probability, score, is_ood) of uint8 pixels (S, S, 3)."""
        outputs = self.runner(images=pixels[None])
        probabilities = outputs["probabilities"][0]
        best = int(np.argmax(probabilities))
        return (
            self.labels[best],
            float(probabilities[best]),
            float(outputs["score"][0]),
            bool(outputs["is_ood"][0]),
        )


def upright(rgb, orientation):
    if orientation in (5, 6, 7, 8):
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    return rgb[::-1] if orientation in (3, 4, 7, 8) else rgb


def square(rgb, size, resizing, antialias):
    lengths = rgb.shape[:2]
    side = max(lengths) if resizing == "pad" else min(lengths)
    new = [size if resizing == "stretch" else max(1, n * size // side) for n in lengths]
    down, across = (_taps(*pair, antialias) for pair in zip(lengths, new, strict=True))
    resized = np.einsum("yr,rsc,xs->yxc", down, rgb.astype("float64"), across)
    resized = np.clip(np.floor(resized + 0.5), 0, 255).astype("uint8")
    made = np.zeros((size, size, 3), "uint8")
    top, left = (int((n - size) / 2) for n in new)
    part = resized[max(0, top) : max(0, top) + size, max(0, left) : max(0, left) + size]
    below, right = max(0, -top), max(0, -left)
    made[below : below + part.shape[0], right : right + part.shape[1]] = part
    return made


def _taps(old, new, antialias):
    """(new, old) weights: a triangle, as wide as the shrink or one pixel."""
    scale = old / new
    reach = max(scale, 1) if antialias else 1
    centres = (np.arange(new)[:, None] + 0.5) * scale - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(old) - centres) / reach)
    return weights / weights.sum(axis=1, keepdims=True)
