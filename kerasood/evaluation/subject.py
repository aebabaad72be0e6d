"""A model and its images, divided once: train | choose parameters | calibrate | test."""

import collections.abc
import dataclasses
import pathlib
import typing

import keras
import numpy as np

from kerasood.data.adapters import as_source
from kerasood.data.open import available_splits, open_available, open_source
from kerasood.data.options import DEFAULTS
from kerasood.data.splits import halves
from kerasood.errors import InvalidInputError
from kerasood.evaluation.image_checks import check_labels, check_shapes
from kerasood.extractor.build import (
    build_full_extractor,
    check_logits,
    head_of,
    is_extractor,
    output_names,
)
from kerasood.extractor.precision import in_float32
from kerasood.extractor.preprocessing import options_for
from kerasood.logs import log
from kerasood.names import check_keys

OWN_IMAGES = "your images"
# Of images that could calibrate or test, at most these shares choose parameters.
SHARE_OF_KEPT_OUT = 4
SHARE_OF_TEST = 8


@dataclasses.dataclass(frozen=True)
class Images:
    """In-distribution images of a model, each with one job.

    Args:
        testing: labelled ImageSource that metrics are computed on.
        training: labelled ImageSource that the model was trained on, for detectors that learn; or
            None.
        choosing: ImageSource that parameters are chosen on; None where none shall be.
        calibrating: ImageSource of a threshold.
        checking: ImageSource that its promise is checked on.
        calibrated_on: str, what the calibrating images are.
    """

    testing: typing.Any
    training: typing.Any
    choosing: typing.Any
    calibrating: typing.Any
    checking: typing.Any
    calibrated_on: str = "images kept out of training"


def divide(testing, training=None, kept_out=None, num_choosing=0, seed=1):
    """Divides in-distribution images, so that none has two jobs that would flatter it.

    Where images were kept out of training, at most a quarter of them chooses and the others
    calibrate; all test images test. Else at most an eighth of the test images chooses and is not
    tested on; of the rest one half calibrates too, and the other checks the promise.

    Args:
        testing, training, kept_out: ImageSources; the last two may be None.
        num_choosing: int, images wanted to choose parameters on; 0: none.
        seed: int, of the halves.

    Returns:
        Images.

    Raises:
        ValueError: fewer test images than these jobs.
    """
    if kept_out is not None:
        choosing, calibrating = _parted(kept_out, num_choosing, SHARE_OF_KEPT_OUT)
        return Images(testing, training, choosing, calibrating, testing)
    least = 4 if num_choosing else 2
    if testing.num_images < least:
        raise InvalidInputError(
            f"Expected at least {least} test images, which without images for calibration also "
            f"{'choose parameters, ' if num_choosing else ''}calibrate thresholds and check them. "
            f"Received: {testing.num_images} in {testing.name!r}"
        )
    choosing, testing = _parted(testing, num_choosing, SHARE_OF_TEST)
    half, others = halves(testing.num_images, seed)
    described = f"of the {testing.num_images:,} test images, checked on the others"
    return Images(
        testing, training, choosing, testing.subset(half), testing.subset(others), described
    )


def _parted(source, num_images, share):
    """Evenly spaced images of a source, or None, and the others."""
    total = source.num_images
    if not num_images or total < 3:
        return None, source
    count = min(num_images, max(2, total // share))
    rows = np.unique(np.linspace(0, total - 1, count).astype(int))
    return source.subset(rows), source.subset(np.setdiff1d(np.arange(total), rows))


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model to be evaluated, and its images.

    Args:
        key: str, unique, names it in results.
        label: str, heads its columns.
        description: str, one line.
        extractor: keras.Model, images -> {"features", "logits"}.
        images: Images.
        head: Head of the classifier, or None when there is none to be had.
        cache: folder for outputs, or None.
        seed: int, seed of its training run.
        base: str, key of the subject that its training started from, or None.
    """

    key: str
    label: str
    description: str
    extractor: typing.Any
    images: Images
    head: typing.Any = None
    cache: typing.Any = None
    seed: int | None = None
    base: str | None = None

    def replace(self, **changes):
        """The same subject but for `changes`."""
        return dataclasses.replace(self, **changes)

    def calibrated_on(self, source):
        """The subject with all images of `source` for its threshold, and none for parameters.

        Args:
            source: ImageSource of in-distribution images that the model never trained on.
        """
        images = dataclasses.replace(
            self.images, calibrating=source, calibrated_on=f"images of {source.name}"
        )
        return self.replace(images=images)


def subjects_of(
    models, in_data, options=DEFAULTS, num_choosing=0, seed=1, cache=None, preprocessing=None
):
    """Any Keras models with in-distribution images that they share.

    Args:
        models: keras.Model, or {label: keras.Model}.
        in_data: see `benchmark`.
        options: DataOptions; size, channels and resizing become those of the models.
        num_choosing, seed: see `divide`.
        cache: folder for outputs, or None.
        preprocessing: see `build_extractor`.

    Returns:
        (list of Subjects, str: name of the data set, those DataOptions).

    Raises:
        ValueError: a model, name or array that does not fit.
    """
    models = models if isinstance(models, collections.abc.Mapping) else {"model": models}
    if not models:
        raise InvalidInputError("Expected a keras.Model, or {label: keras.Model}. Received: {}")
    check_keys("model", models)
    extractors = {
        label: extractor_of(label, model, preprocessing) for label, model in models.items()
    }
    options = options_for([*extractors.values()], options)
    if isinstance(in_data, str | pathlib.Path):
        name = str(in_data)
        sources = _opened(name, options)
    else:
        name, sources = OWN_IMAGES, _given(in_data, options)
    images = divide(num_choosing=num_choosing, seed=seed, **sources)
    subjects = [
        Subject(
            key=label,
            label=label,
            description=f"{model.name}, {model.count_params():,} parameters",
            extractor=extractors[label],
            images=images,
            head=head_or_none(extractors[label]) if is_extractor(model)
            else head_of(extractors[label]),
            cache=cache,
        )
        for label, model in models.items()
    ]
    check_shapes(subjects, {role: source for role, source in sources.items() if source})
    check_labels(subjects, sources.values())
    return subjects, name, options


def open_labelled(dataset, split="test", options=DEFAULTS):
    """The labelled in-distribution images of a split of a data set: ImageSource.

    Raises:
        ValueError: they have no labels.
    """
    source = open_source(dataset, split, options)
    if source.num_classes is None:
        raise InvalidInputError(
            f"Expected labelled {split} images in {dataset}. Received: {source.unlabelled}"
        )
    return source


def _opened(name, options):
    splits = available_splits(name, options)
    testing = "validation" if "test" not in splits and "validation" in splits else "test"
    if testing != "test":
        log.info("%s has no test images: its validation images take their place", name)
    has_both = {"test", "validation"} <= set(splits)
    return {
        "testing": open_labelled(name, testing, options),
        "training": open_available(name, "train", options)[0],
        "kept_out": open_source(name, "validation", options) if has_both else None,
    }


def _given(in_data, options):
    if not isinstance(in_data, collections.abc.Mapping):
        in_data = {"test": in_data}
    if set(in_data) - {"train", "test", "calibration"} or "test" not in in_data:
        raise InvalidInputError(
            'Expected images "test" and, if wanted, "train" and "calibration". '
            f"Received: {', '.join(map(str, in_data)) or 'none'}"
        )
    sources = {name: as_source(value, name, options) for name, value in in_data.items()}
    test, training = sources["test"], sources.get("train")
    for source in filter(None, (test, training)):
        if source.num_classes is None:
            raise InvalidInputError(
                f"Expected (images, labels) for {source.name!r}. Received: images"
            )
    return {"testing": test, "training": training, "kept_out": sources.get("calibration")}


def extractor_of(label, model, preprocessing=None):
    """The extractor of a model; of one that is an extractor, in float32.

    Raises:
        ValueError: no keras.Model, or one without logits.
    """
    if not isinstance(model, keras.Model):
        raise InvalidInputError(
            f"Expected a keras.Model. Received: {type(model).__name__} for {label!r}"
        )
    if is_extractor(model) and preprocessing is None:
        extractor = in_float32(model)
    else:
        extractor = build_full_extractor(model, preprocessing)
    if "logits" not in output_names(extractor):
        raise InvalidInputError(
            f"Expected an output 'logits'. Received: {output_names(extractor)} of {label!r}"
        )
    check_logits(extractor)
    return extractor


def head_or_none(extractor):
    """The weights of a head; None for one that is not linear, such as G-ODIN's."""
    try:
        return head_of(extractor)
    except ValueError:
        return None
