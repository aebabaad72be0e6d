"""What a model answers to each data set, and detectors fitted to it."""

import numpy as np
from sklearn.base import clone

from kerasood.detectors import Detector
from kerasood.errors import InvalidInputError
from kerasood.evaluation.choosing import Fitting, Validation, choose
from kerasood.evaluation.outputs import collect_source
from kerasood.evaluation.outputs_cache import OutputsCache
from kerasood.extractor.input_gradient import SteppedExtractor


class CandidateOutputs:
    """A model's outputs and scores, each set of images computed once.

    Args:
        candidate: what has extractor, training, calibration, head and cache; see
            `kerasood.evaluation.measure.Candidate`.
        batch_size: int.
        progress: function of (set name, images done), or None.
    """

    def __init__(self, candidate, batch_size=250, progress=None):
        self.candidate = candidate
        self.images = {}
        self._batch_size = batch_size
        self._progress = progress
        self._cache = OutputsCache(candidate.cache)
        self._collected = {}
        self._stepped_scores = {}
        self._stepping = None

    def collect(self, source, name):
        """Outputs and labels of a set: Collected.

        Args:
            source: ImageSource.
            name: str, its name in results; the same name means the same images.
        """
        if name not in self._collected:
            collected = self._cache.collect(
                self.candidate.extractor, source, self._batch_size, self._step(name)
            )
            self._collected[name] = collected
            self.images[name] = {
                "num_images": collected.num_images, "sha256": collected.sha256
            }
        return self._collected[name]

    def scores(self, detector, source, name):
        """Scores of a fitted detector for a set: (N,) float32."""
        if not detector.input_step:
            return score(detector, self.collect(source, name).outputs)
        if (id(detector), name) not in self._stepped_scores:
            # The detector is kept too, so that its id stays its own.
            stepped = self._collect_stepped(detector, source, name)
            self._stepped_scores[id(detector), name] = detector, score(detector, stepped.outputs)
        return self._stepped_scores[id(detector), name][1]

    def _collect_stepped(self, detector, source, name):
        # Compiled once for all sets, which a detector scores one after the other.
        if self._stepping is None or self._stepping[0] is not detector:
            self._stepping = detector, SteppedExtractor(
                self.candidate.extractor, detector.input_loss, detector.input_step
            )
        _, extractor = self._stepping
        step = self._step(f"{name}, {type(detector).__name__}'s step on the image")
        return collect_source(extractor, source, self._batch_size, step)

    def fitting(self, detector):
        """What the detector is fitted on: Fitting.

        Raises:
            ValueError: the detector learns, and the training images or the head are not to be had.
        """
        if not detector.learns:
            return Fitting(None, None, None)
        kind = type(detector).__name__
        if self.candidate.training is None:
            raise InvalidInputError(
                f"Expected training images that are at hand, since {kind} learns from them. "
                f"Received: none for {self.candidate.label}"
            )
        if detector.needs_head and self.candidate.head is None:
            raise InvalidInputError(
                f"Expected a classifier that ends in a Dense layer, whose weights {kind} needs. "
                f"Received: {self.candidate.label}, whose head cannot be read"
            )
        collected = self.collect(self.candidate.training, "train")
        return Fitting(collected.outputs, collected.labels, self.candidate.head)

    def validation(self, num_images, seed):
        """In-distribution images and outliers made from them, to choose parameters on.

        Images kept out of training where there are some, at most a quarter of them, since the
        rest calibrate the threshold; else training images, at most half of them; never test images.

        Returns:
            (Validation, rows of the training images that it consists of, or None).
        """
        kept_out, training = self.candidate.calibration, self.candidate.training
        source = kept_out or training
        if source is None:
            raise InvalidInputError(
                "Expected training images that are at hand, to choose parameters on. "
                f"Received: none for {self.candidate.label}"
            )
        if kept_out is not None:
            # Counted by reading them: which are unreadable is known only then.
            total = self.collect(kept_out, "calibration").num_images
            num_images = min(num_images, max(2, total // 4))
        else:
            total = training.num_images
            num_images = min(num_images, max(2, total // 2))
        rows, images = _images_of(source, choosing_rows(total, num_images))
        validation = Validation(
            self.candidate.extractor, images, kept_out is not None, seed, self._batch_size
        )
        return validation, rows if kept_out is None else None

    def _step(self, name):
        if self._progress is None:
            return None
        return lambda count: self._progress(name, count)


class FittedDetectors:
    """Fits detectors to one model; the images they choose parameters on are made once.

    Args:
        outputs: CandidateOutputs.
        tune: whether detectors with a grid choose their parameters on generated outliers.
        validation_images: int, see `CandidateOutputs.validation`.
        seed: int.
    """

    def __init__(self, outputs, tune, validation_images, seed):
        self._outputs = outputs
        self._tune = tune
        self._validation_arguments = (validation_images, seed)
        self._validation = None

    def fit(self, detector: Detector):
        """A fitted copy of a detector, its parameters chosen where that is wanted.

        A detector may remember what it was fitted on, such as the nearest neighbours do: while it
        chooses, it is fitted without the images that judge it, and afterwards on all.
        """
        fitting = self._outputs.fitting(detector)
        if not (self._tune and detector.GRID):
            return _fitted(clone(detector), fitting)
        if self._validation is None:
            self._validation = self._outputs.validation(*self._validation_arguments)
        validation, rows = self._validation
        if rows is None or not detector.learns:
            return choose(detector, fitting, validation)
        best = choose(detector, _without_rows(fitting, rows), validation)
        choice = best.choice_
        _fitted(best, fitting).choice_ = choice
        return best


def _fitted(detector, fitting):
    return detector.fit(fitting.outputs, fitting.labels, fitting.head)


def _without_rows(fitting, rows):
    """A Fitting on all other images."""
    outputs = {name: np.delete(array, rows, axis=0) for name, array in fitting.outputs.items()}
    labels = None if fitting.labels is None else np.delete(fitting.labels, rows)
    return Fitting(outputs, labels, fitting.head)


def score(detector, outputs):
    """Scores of a detector as a NumPy array (N,) float32."""
    return np.asarray(detector.score(outputs), dtype="float32")


def choosing_rows(total, num_images):
    """The rows of a source that parameters are chosen on: evenly spaced, increasing."""
    return np.unique(np.linspace(0, total - 1, min(num_images, total)).astype(int))


def calibrating_rows(detector, total):
    """The rows of the images kept out of training that had no say in a detector's parameters."""
    chosen_on = getattr(detector, "choice_", {}).get("num_kept_out", 0)
    return np.setdiff1d(np.arange(total), choosing_rows(total, chosen_on))


def _images_of(source, rows):
    """Rows of a source that there are, and their images (N, H, W, 3) uint8, in bounded memory."""
    parts, start = [], 0
    for images, _ in source.batches(1024):
        inside = rows[(rows >= start) & (rows < start + len(images))] - start
        parts.append(images[inside])
        start += len(images)
    # Unreadable files are counted until they are met.
    return rows[rows < start], np.concatenate(parts)
