"""A model's answers to each of its sets of images, and detectors fitted to it."""

import dataclasses

import numpy as np
from sklearn.base import clone

from kerasood.data.passes import images_per_pass
from kerasood.detectors import Detector
from kerasood.errors import InvalidInputError
from kerasood.evaluation.choosing import FitData, Validation, choose
from kerasood.evaluation.outputs import collect_source
from kerasood.evaluation.outputs_cache import OutputsCache
from kerasood.extractor.input_gradient import SteppedExtractor


class SubjectOutputs:
    """A subject's outputs and scores, each image computed once.

    Args:
        subject: Subject.
        batch_size: int, images in a pass; by default `images_per_pass`.
        progress: function of (title, number of images) -> function of images done, or None.
    """

    def __init__(self, subject, batch_size=None, progress=None):
        self.subject = subject
        self.images = {}
        self.batch_size = batch_size
        self.progress = progress
        self._cache = OutputsCache(subject.cache)
        # Each with its source or detector, so that an id stays its own.
        self._collected = {}
        self._stepped_scores = {}
        self._stepping = None

    def collect(self, source, name):
        """Outputs and labels of a set: Collected.

        What is taken from a set that is there already is rows of it.

        Args:
            source: ImageSource.
            name: str, its name in results.
        """
        if id(source) in self._collected:
            return self._collected[id(source)][1]
        whole = self._collected.get(id(source.whole))
        # Where files are unreadable, images of the whole are not in its rows.
        if whole is not None and not source.whole.skipped:
            collected = _rows_of(whole[1], source.rows)
        else:
            collected = self._cache.collect(
                self.subject.extractor, source, self.batch_size, self._step(name, source)
            )
            self.images[name] = {"num_images": collected.num_images, "sha256": collected.sha256}
        self._collected[id(source)] = source, collected
        return collected

    def scores(self, detector, source, name):
        """Scores of a fitted detector for a set: (N,) float32."""
        if not detector.input_step:
            return score(detector, self.collect(source, name).outputs)
        whole = self._stepped_scores.get((id(detector), id(source.whole)))
        if whole is not None and not source.whole.skipped:
            return whole[-1][source.rows]
        key = id(detector), id(source)
        if key not in self._stepped_scores:
            stepped = self._collect_stepped(detector, source, name)
            self._stepped_scores[key] = detector, source, score(detector, stepped.outputs)
        return self._stepped_scores[key][-1]

    def _collect_stepped(self, detector, source, name):
        # Compiled once for all sets, which a detector scores one after the other.
        if self._stepping is None or self._stepping[0] is not detector:
            self._stepping = detector, SteppedExtractor(
                self.subject.extractor, detector.input_loss, detector.input_step
            )
        _, extractor = self._stepping
        step = self._step(f"{name}, {type(detector).__name__}'s step on the image", source)
        batch_size = self.batch_size or images_per_pass(source.image_size**2, gradient=True)
        return collect_source(extractor, source, batch_size, step)

    def fit_data(self, detector):
        """Arguments that the detector is fitted on: FitData.

        Raises:
            ValueError: the detector learns, and the training images or the head are not to be had.
        """
        if not detector.learns:
            return FitData(None, None, None)
        kind, subject = type(detector).__name__, self.subject
        if subject.images.training is None:
            raise InvalidInputError(
                f"Expected training images that are at hand, since {kind} learns from them. "
                f"Received: none for {subject.label}"
            )
        if detector.needs_head and subject.head is None:
            raise InvalidInputError(
                f"Expected a classifier that ends in a Dense layer, whose weights {kind} needs. "
                f"Received: {subject.label}, whose head cannot be read"
            )
        collected = self.collect(subject.images.training, "train")
        return FitData(collected.outputs, collected.labels, subject.head)

    def _step(self, name, source):
        if self.progress is None:
            return None
        return self.progress(f"{self.subject.label}: {name}", source.num_images)


class FittedDetectors:
    """Fits detectors to one model; the images they choose parameters on are made once.

    Args:
        outputs: SubjectOutputs.
        tune: whether detectors with a grid choose their parameters on generated outliers.
        seed: int, of the outliers.
    """

    def __init__(self, outputs, tune, seed):
        self._outputs = outputs
        self.tune = tune
        self._seed = seed
        self._validation = None

    def fit(self, detector: Detector):
        """A fitted copy of a detector, its parameters chosen where that is wanted.

        One that has chosen already, and says so in `choice_`, keeps its parameters.
        """
        fit_data = self._outputs.fit_data(detector)
        if hasattr(detector, "choice_"):
            fitted = clone(detector).fit(*fit_data)
            fitted.choice_ = detector.choice_
            return fitted
        if self.tune and detector.GRID:
            return choose(detector, fit_data, self.validation)
        return clone(detector).fit(*fit_data)

    @property
    def validation(self):
        """The images that choose parameters, and generated outliers: Validation.

        Raises:
            ValueError: the subject was divided without any.
        """
        if self._validation is None:
            subject = self._outputs.subject
            if subject.images.choosing is None:
                raise InvalidInputError(
                    "Expected images to choose parameters on (validation_images > 0, and at least "
                    "3 images for calibration where there are any). "
                    f"Received: none for {subject.label}"
                )
            images, _ = subject.images.choosing.load()
            self._validation = Validation(
                subject.extractor, images, self._seed, self._outputs.batch_size
            )
        return self._validation


def score(detector, outputs):
    """Scores of a detector as a NumPy array (N,) float32."""
    return np.asarray(detector.score(outputs), dtype="float32")


def _rows_of(collected, rows):
    outputs = {name: array[rows] for name, array in collected.outputs.items()}
    labels = None if collected.labels is None else collected.labels[rows]
    return dataclasses.replace(collected, outputs=outputs, labels=labels)
