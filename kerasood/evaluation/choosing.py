"""Chooses a detector's parameters on in-distribution images and generated outliers."""

import copy
import itertools
import math
import typing

import numpy as np
from sklearn.base import clone

from kerasood.data.passes import images_per_pass
from kerasood.data.validation_outliers import validation_outliers
from kerasood.evaluation.outputs import collect
from kerasood.extractor import with_float_input
from kerasood.extractor.input_gradient import InputSign, stepped
from kerasood.metrics import all_metrics

CRITERION = "highest mean AUROC over the kinds of generated outliers, then lowest mean FPR95"


class FitData(typing.NamedTuple):
    """Arguments of `Detector.fit`."""

    outputs: dict | None
    labels: np.ndarray | None
    head: tuple | None


class Validation:
    """In-distribution images, generated outliers, and the model's outputs for both.

    Args:
        extractor: keras.Model, images -> {"features", "logits"}.
        images: uint8 (N, H, W, 3), in-distribution. A network answers the images that it was
            trained on too surely: kept out of training, and never tested on, they choose better.
        seed: int >= 0, of the outliers.
        batch_size: int, images in a pass; by default `images_per_pass`.
    """

    def __init__(self, extractor, images, seed=0, batch_size=None):
        self.images = {"in": np.asarray(images), **validation_outliers(images, seed)}
        self._extractor = extractor
        self._batch_size = batch_size
        self._outputs = None
        self._on_pixels = None

    @property
    def num_images(self):
        return len(self.images["in"])

    @property
    def described(self):
        """Describes the images in words."""
        return f"{self.num_images:,} images that are neither trained nor tested on"

    @property
    def kinds(self):
        """Names of the kinds of outliers: list of str."""
        return [name for name in self.images if name != "in"]

    @property
    def outputs(self):
        """{"in" or kind: outputs} of the images as they are; computed once."""
        if self._outputs is None:
            self._outputs = {
                name: collect(self._extractor, self._batches(images))
                for name, images in self.images.items()
            }
        return self._outputs

    def stepped_outputs(self, loss, steps, names=None):
        """Yields (step, {"in" or kind: outputs}) of images moved against a loss's gradient.

        The gradient is computed once for all steps.

        Args:
            loss: function of outputs, (N,).
            steps: shares of the pixel range; 0 means as they are.
            names: of the images, "in" or kinds; all by default.
        """
        chosen = self.images if names is None else {name: self.images[name] for name in names}
        moving = [step for step in steps if step]
        signs = {}
        if moving:
            sign_of = InputSign(self._extractor, loss)
            signs = {
                name: [sign_of.predict_on_batch(batch) for batch in self._batches(images)]
                for name, images in chosen.items()
            }
        for step in steps:
            moved = self._moved(signs, step) if step else self.outputs
            yield step, {name: moved[name] for name in chosen}

    def _moved(self, signs, step):
        # A model of its own each time would be compiled each time.
        self._on_pixels = self._on_pixels or with_float_input(self._extractor)
        return {
            name: collect(
                self._on_pixels,
                (
                    stepped(batch.astype("float32"), sign, np.float32(step))
                    for batch, sign in zip(self._batches(self.images[name]), steps, strict=True)
                ),
                dtype="float32",
            )
            for name, steps in signs.items()
        }

    def _batches(self, images):
        size = self._batch_size or images_per_pass(math.prod(images.shape[1:3]), gradient=True)
        return (images[start : start + size] for start in range(0, len(images), size))


def choose(detector, fit_data, validation, grid=None):
    """Fits a detector for every point of its grid and returns the best.

    Args:
        detector: Detector whose class has a `GRID`, {parameter: values}.
        fit_data: FitData.
        validation: Validation.
        grid: {parameter: values}, instead of the class's.

    Returns:
        A new, fitted detector with `choice_`: JSON values that say what was chosen from what, on
        which images, and by which numbers.
    """
    grid = detector.GRID if grid is None else grid
    candidates = [
        ({**params, **mean_metrics(fitted, outputs)}, fitted)
        for params, fitted, outputs in _points(detector, grid, fit_data, validation)
    ]
    measured, best = min(candidates, key=lambda each: (-each[0]["auroc"], each[0]["fpr95"]))
    default = {name: getattr(detector, name) for name in grid}
    best.choice_ = {
        "chosen": {name: measured[name] for name in default},
        "criterion": CRITERION,
        "fpr95": measured["fpr95"],
        "auroc": measured["auroc"],
        "images": validation.described,
        "num_images": validation.num_images,
        "outliers": validation.kinds,
        "default": next((each for each, _ in candidates if default.items() <= each.items()), None),
        "tried": [each for each, _ in candidates],
    }
    return best


def grid_points(grid):
    """Yields the points of a grid, {parameter: value}; the step on the image is left out."""
    grid = {name: values for name, values in grid.items() if name != "magnitude"}
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _points(detector, grid, fit_data, validation):
    """Yields (parameters, fitted detector, {name: outputs to score}) of every point."""
    for params in grid_points(grid):
        fitted = clone(detector).set_params(**params)
        fitted.fit(fit_data.outputs, fit_data.labels, fit_data.head)
        if not any(grid.get("magnitude", ())):
            # At most one step, that of a detector inside this one, whose parameters stay.
            steps = (fitted.input_step,)
            for _, outputs in validation.stepped_outputs(fitted.input_loss, steps):
                yield params, fitted, outputs
            continue
        steps = grid["magnitude"]
        if fitted.step_for_in_distribution:
            steps = (_step_for_in_distribution(fitted, validation, steps),)
        for step, outputs in validation.stepped_outputs(fitted.input_loss, steps):
            at_step = copy.copy(fitted).set_params(magnitude=step)
            yield {**params, "magnitude": step}, at_step, outputs


def _step_for_in_distribution(detector, validation, steps):
    """The step after which in-distribution images score lowest, on average."""
    means = {
        step: float(np.mean(detector.score(outputs["in"])))
        for step, outputs in validation.stepped_outputs(detector.input_loss, steps, ("in",))
    }
    return min(means, key=means.get)


def mean_metrics(detector, outputs):
    """{"fpr95", "auroc"} of a fitted detector, means over the kinds of outliers.

    Args:
        detector: Detector.
        outputs: {"in" or kind: outputs}.
    """
    scores = {name: np.asarray(detector.score(parts)) for name, parts in outputs.items()}
    measured = [
        all_metrics(scores["in"], values) for name, values in scores.items() if name != "in"
    ]
    return {
        name: float(np.mean([metrics[name] for metrics in measured])) for name in ("fpr95", "auroc")
    }
