"""python scripts/gallery.py PNG: the scores of detectors over a plane, as small multiples.

A small classifier learns three classes of points in a plane. Each panel shows what one detector,
with its default parameters, says of all points of the plane. Detectors that need a network made
for them (other outputs than features, logits and hidden layers) are left out.
"""

import argparse
import io
import pathlib

import keras
import numpy as np
from keras import layers
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from kerasood.detectors import DETECTORS
from kerasood.detectors.rectifier import Rectifier
from kerasood.extractor.build import build_extractor, head_of, output_names
from kerasood.extractor.input_gradient import SteppedExtractor
from kerasood.files import atomic_path
from kerasood.reporting.drawing import (
    HAIRLINE,
    IN_COLOUR,
    INK,
    MODEL_COLOURS,
    MUTED,
    OUT_COLOUR,
    new_figure,
    write,
)
from kerasood.thresholds import calibrate

# The plane is an image of one pixel with two channels, so that steps on the image work too.
PLANE = 255.0
CENTRE = PLANE / 2
CLASS_COLOURS = MODEL_COLOURS[1:4]
# What each family looks at, and what to see in its panels.
FAMILIES = {
    "logits": (
        "what the classifier says",
        "The logits of a ReLU network grow with the\n"
        "distance from its points: to most of these\n"
        "detectors the empty plane looks familiar,\n"
        "and the borders between classes do not.",
    ),
    "features": (
        "where an image lies among the training images, in 64 dimensions",
        "Distances accept what lies near the\n"
        "points, or in their directions where\n"
        "the length of features does not count.\n"
        "\n"
        "One plane, one network, default\n"
        "parameters: no ranking.",
    ),
    "rectifiers": ("features or weights changed in front of the energy", ""),
}
COLUMNS = 6
# Inches.
TOP, HEADING, MARGIN, SIDE, PITCH = 0.62, 0.3, 0.12, 1.55, (1.66, 1.86)
LEVELS = np.linspace(0, 1, 17)
# Below the threshold grey, at it white, above it the colour of OOD images.
COLOURS = LinearSegmentedColormap.from_list(
    "kerasood", [IN_COLOUR, "#b3bac2", "#f3f5f7", "#f9e6ed", OUT_COLOUR, "#6d2440"]
)


def points(generator, num_points: int):
    """Points of three classes: a round cloud, a long one, and an arc.

    Returns:
        float32 (3 * num_points, 1, 1, 2), 0 to 255, and int labels.
    """
    cloud = generator.normal((-58, 34), 9, (num_points, 2))
    along, across = generator.normal(0, (19, 5), (num_points, 2)).T
    streak = np.stack([46 + along * 0.8, 46 + along * 0.6 + across], axis=1)
    angle = generator.uniform(np.pi * 1.08, np.pi * 1.92, num_points)
    arc = 54 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + (4, 2)
    arc += generator.normal(0, 4.5, (num_points, 2))
    plane = CENTRE + np.concatenate([cloud, streak, arc])
    return plane.astype("float32")[:, None, None, :], np.repeat(np.arange(3), num_points)


def trained(images, labels, steps: int):
    """A small classifier of the points, trained for that many steps on all of them."""
    inputs = keras.Input((1, 1, 2), name="images")
    x = layers.Flatten()(layers.Rescaling(4 / CENTRE, offset=-4.0)(inputs))
    x = layers.Dense(64, activation="relu", name="early")(x)
    x = layers.Dense(64, activation="relu")(x)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    repeated = np.tile(np.arange(len(labels)), steps)
    model.fit(images[repeated], labels[repeated], len(labels), shuffle=False, verbose=0)
    return model


class Scorer:
    """Fits detectors to a classifier and scores points with them.

    Args:
        model: keras.Model, points (N, 1, 1, 2) -> probabilities (N, K).
        images, labels: what it was trained on.
    """

    def __init__(self, model, images, labels):
        self.extractor = build_extractor(model, hidden_layers=["early"])
        self._fitting = _outputs(self.extractor, images), labels, head_of(self.extractor)
        self._seen = {}

    def fitted(self):
        """The detectors that this classifier's outputs are enough for, fitted, by family."""
        available = output_names(self.extractor)
        families = {family: {} for family in FAMILIES}
        for name, kind in DETECTORS.items():
            if not kind().missing(available):
                families[family_of(kind)][name] = kind().fit(*self._fitting)
        return families

    def score(self, detector, key, images):
        """Scores (N,) of points that go by the name `key`."""
        if detector.input_step:
            stepped = SteppedExtractor(self.extractor, detector.input_loss, detector.input_step)
            return np.asarray(detector.score(_outputs(stepped, images)))
        if key not in self._seen:
            self._seen[key] = _outputs(self.extractor, images)
        return np.asarray(detector.score(self._seen[key]))


def _outputs(extractor, images):
    return {name: np.asarray(values) for name, values in extractor(images).items()}


def family_of(kind):
    """Which of `FAMILIES` a class of detectors belongs to."""
    if issubclass(kind, Rectifier):
        return "rectifiers"
    return "features" if kind.learns and "features" in kind().reads else "logits"


def shares(scores, threshold: float):
    """Places of scores in their order: 0 the lowest, 1/2 at the threshold, 1 the highest."""
    order = np.sort(scores, axis=None)
    place = np.searchsorted(order, scores) / scores.size
    border = np.searchsorted(order, threshold, "right") / scores.size
    least = 1 / scores.size
    below = 0.5 * place / max(border, least)
    above = 1 - 0.5 * (1 - place) / max(1 - border, least)
    return np.where(scores <= threshold, below, above)


def gallery(scorer, images, labels, held_out, resolution: int) -> Figure:
    """The figure: rows of panels for each family, a panel for each detector.

    Args:
        scorer: Scorer.
        images, labels: points to draw, (N, 1, 1, 2).
        held_out: points to calibrate on.
        resolution: points along each side of a map.
    """
    axis = np.linspace(0, PLANE, resolution, dtype="float32")
    plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, 1, 2)
    families = scorer.fitted()
    rows = {family: -(-len(detectors) // COLUMNS) for family, detectors in families.items()}
    height = TOP + HEADING * len(rows) + PITCH[1] * sum(rows.values())
    figure = new_figure(MARGIN + PITCH[0] * COLUMNS, height)
    _legend(figure, height)
    top = height - TOP
    for family, detectors in families.items():
        _heading(figure, family, top)
        top -= HEADING
        for index, (name, detector) in enumerate(detectors.items()):
            row, column = divmod(index, COLUMNS)
            axes = _axes(figure, column, top - row * PITCH[1])
            threshold = calibrate(scorer.score(detector, "held out", held_out))
            scores = scorer.score(detector, "plane", plane).reshape(resolution, resolution)
            _panel(axes, axis, scores, threshold.value)
            for label, colour in enumerate(CLASS_COLOURS):
                xy = images[labels == label, 0, 0].T
                axes.plot(*xy, ".", color=colour, markersize=2, markeredgewidth=0)
            write(axes, 0, 1.075, name, transform=axes.transAxes)
        top -= rows[family] * PITCH[1]
        _note(figure, family, len(detectors) % COLUMNS, top + PITCH[1])
    return figure


def _axes(figure, column, top):
    """Axes of a panel whose title starts `top` inches above the figure's bottom."""
    width, height = figure.get_size_inches()
    left, bottom = MARGIN + column * PITCH[0], top - PITCH[1] + 0.08
    return figure.add_axes((left / width, bottom / height, SIDE / width, SIDE / height))


def _panel(axes, axis, scores, threshold):
    axes.contourf(axis, axis, shares(scores, threshold), LEVELS, cmap=COLOURS, antialiased=False)
    if scores.min() < threshold < scores.max():
        line = {"colors": [INK], "linewidths": 1, "linestyles": "solid"}
        axes.contour(axis, axis, scores, [threshold], **line)
    axes.set(xticks=[], yticks=[], xlim=(0, PLANE), ylim=(0, PLANE))
    for spine in axes.spines.values():
        spine.set(color=HAIRLINE, linewidth=0.7)


def _heading(figure, family, top):
    width, height = figure.get_size_inches()
    y = (top - 0.16) / height
    write(figure, MARGIN / width, y, family, weight="bold", fontsize=10.5)
    write(figure, (MARGIN + 0.92) / width, y, FAMILIES[family][0], color=MUTED)


def _note(figure, family, column, top):
    """What to see, beside the last row of a family if that leaves room."""
    if 0 < column <= COLUMNS - 2:
        width, height = figure.get_size_inches()
        x, y = MARGIN + column * PITCH[0] + 0.14, top - PITCH[1] + 0.08 + SIDE
        style = {"va": "top", "linespacing": 1.5, "color": MUTED, "fontsize": 9.5}
        write(figure, x / width, y / height, FAMILIES[family][1], **style)


def _legend(figure, height):
    first, second = 1 - 0.2 / height, 1 - 0.45 / height
    width = figure.get_size_inches()[0]
    left = MARGIN / width
    write(figure, left, first, "What each detector says of a plane", weight="bold", fontsize=13)
    for index, colour in enumerate(CLASS_COLOURS):
        write(figure, 0.392 + 0.012 * index, first, "●", color=colour, fontsize=7)
    write(figure, 0.43, first, "three classes, as learned by one small network")
    write(figure, 0.735, first, "━", weight="bold")
    write(figure, 0.755, first, "accepts 95 % of held-out points")
    text = (
        "Grey is accepted, red is flagged. Shades follow the order of scores within a panel: the "
        "darker, the farther from the threshold."
    )
    write(figure, left, second, text, color=MUTED)


def _write_png(figure, path, dpi):
    """Writes a figure in 256 colours, which are enough for bands and a third of the bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    image = Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", optimize=True)


def main(arguments=None):
    """Draws the gallery into a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("png", type=pathlib.Path, help="the file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resolution", type=int, default=160, help="points along a map's side")
    parser.add_argument("--steps", type=int, default=400, help="steps of the training")
    options = parser.parse_args(arguments)
    keras.utils.set_random_seed(options.seed)
    generator = np.random.default_rng(options.seed)
    images, labels = points(generator, 200)
    held_out, _ = points(generator, 400)
    scorer = Scorer(trained(images, labels, options.steps), images, labels)
    figure = gallery(scorer, images, labels, held_out, options.resolution)
    _write_png(figure, options.png, dpi=150)


if __name__ == "__main__":
    main()
