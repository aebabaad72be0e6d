"""The one way from subjects to a Benchmark, for arrays, names and run directories alike."""

import collections.abc
import math
import sys

import keras

from kerasood.benchmarking.benchmark_result import Benchmark
from kerasood.data.validation_outliers import OUTLIER_KINDS
from kerasood.detectors import DETECTORS, Detector, build
from kerasood.errors import InvalidInputError
from kerasood.evaluation.auto import choose_detector
from kerasood.evaluation.measure import measure
from kerasood.evaluation.ood_sets import set_entry
from kerasood.evaluation.results import results_of
from kerasood.evaluation.subject_outputs import FittedDetectors, SubjectOutputs
from kerasood.extractor.build import output_names
from kerasood.logs import log
from kerasood.names import check_keys


def evaluate_subjects(
    subjects, dataset, sources, missing, detectors, settings, *,
    detectors_of=None, overlaps=None, groups=(), roles=None, known=None, progress=None,
    expected_accuracy=None, own_sets=(),
):
    """Measures every subject on every OOD set.

    Args:
        subjects: list of Subjects with the same test images.
        dataset: name or path of the in-distribution set.
        sources: {set name: ImageSource}.
        missing: entries of sets that were not at hand.
        detectors: "all", names, or {name: Detector}; see `benchmark`.
        settings: Settings.
        detectors_of: {subject key: names of its detectors}; all by default.
        overlaps: function of a set's name -> what its note must say of models trained on it.
        groups: see `results_of`.
        roles: {set name: role} where it is another than the protocol's.
        known: {subject key: Measured} of subjects that were measured before; added to.
        progress: see `SubjectOutputs`.
        expected_accuracy: float or None, see `benchmark`.
        own_sets: names, see `kerasood.evaluation.ood_sets.own_sets`.

    Returns:
        Benchmark.
    """
    chosen, outputs_of = None, {}
    if is_auto(detectors):
        outputs = SubjectOutputs(subjects[-1], settings.batch_size, progress)
        outputs_of[subjects[-1].key] = outputs
        usable, chosen = _auto(outputs, settings)
    else:
        usable = asked_for(detectors)
    lenient = _is_only("all", detectors)
    if lenient:
        usable = usable_detectors(usable, subjects, settings.tune)
    _announce_gradients(usable, settings)
    measured = {} if known is None else known
    for subject in subjects:
        if subject.key in measured:
            continue
        names = usable if detectors_of is None else detectors_of.get(subject.key, usable)
        own = _possible({n: usable[n] for n in names if n in usable}, subject, subjects)
        measured[subject.key] = measure(
            subject, sources, own, settings, progress, outputs_of.get(subject.key), lenient
        )
        _check_accuracy(measured[subject.key], subject, expected_accuracy)
    num_in = subjects[0].images.testing.num_images
    sets = []
    for name, source in sources.items():
        warnings = overlaps(name) if overlaps else ()
        entry = set_entry(
            name, source, dataset, num_in, settings.protocol, warnings, name in own_sets
        )
        sets.append({**entry, "role": (roles or {}).get(name, entry["role"])})
    measured = {subject.key: measured[subject.key] for subject in subjects}
    return Benchmark(
        results_of(measured, dataset, subjects, settings, sets, missing, groups, chosen),
        {key: values for each in measured.values() for key, values in each.scores.items()},
        {key: each.detectors for key, each in measured.items()},
        {subject.key: subject.extractor for subject in subjects},
        {"in": subjects[0].images.testing, **sources},
    )


def _possible(detectors, subject, subjects):
    """Those of {name: Detector} that a subject has outputs for; the others only others have."""
    lacking = {
        name
        for name, detector in detectors.items()
        if detector.missing(output_names(subject.extractor))
        and not all(detector.missing(output_names(each.extractor)) for each in subjects)
    }
    if lacking:
        log.warning("%s has no outputs for: %s", subject.label, ", ".join(sorted(lacking)))
    return {name: each for name, each in detectors.items() if name not in lacking}


def num_choosing(detectors, settings):
    """Number of images that are wanted to choose parameters on: none where no detector has any.

    Args:
        detectors: as asked for, see `benchmark`.
        settings: Settings.
    """
    if is_auto(detectors):
        return settings.validation_images
    own = isinstance(detectors, collections.abc.Mapping)
    return settings.validation_images if not own and settings.tune and any(
        each.GRID for each in asked_for(detectors).values()
    ) else 0


def asked_for(detectors):
    """{name: Detector, not fitted} of "all", a name that `build` takes, names, or {name: Detector}.

    Raises:
        ValueError: an unknown name, or no detector.
    """
    if isinstance(detectors, collections.abc.Mapping):
        check_keys("detector", detectors)
        for name, detector in detectors.items():
            if not isinstance(detector, Detector):
                raise InvalidInputError(f"Expected a Detector for {name!r}. Received: {detector!r}")
        return dict(detectors)
    is_list = isinstance(detectors, collections.abc.Iterable) and not isinstance(detectors, str)
    names = tuple(detectors) if is_list else (detectors,)
    if not names or not all(isinstance(name, str) for name in names):
        received = ", ".join(map(repr, names)) or "none"
        raise InvalidInputError(
            "Expected names of detectors, at least one, or {name: Detector}. "
            f"Received: {received}"
        )
    return {name: build(name) for name in (DETECTORS if names == ("all",) else names)}


def is_auto(detectors):
    """True where the detector is to be chosen from in-distribution images."""
    return _is_only("auto", detectors)


def _is_only(name, detectors):
    named = [detectors] if isinstance(detectors, str) else detectors
    return isinstance(named, list | tuple) and list(named) == [name]


def _auto(outputs, settings):
    """({name: Detector} of what is chosen, with the energy beside it; what the choice says)."""
    detector, chosen = choose_detector(
        outputs, FittedDetectors(outputs, settings.tune, settings.seed)
    )
    return {"energy": build("energy"), chosen["detector"]: detector}, chosen


def usable_detectors(detectors, subjects, tune):
    """Those of {name: Detector} that the subjects can have; the others are named in a warning."""
    lacking = {
        "training images are not at hand": lambda detector, subject: (
            detector.learns and subject.images.training is None
        ),
        "there are no images to choose parameters on (without tune: the defaults)": (
            lambda detector, subject: (
                tune and detector.GRID and subject.images.choosing is None
            )
        ),
        "the head's weights cannot be read": lambda detector, subject: (
            detector.needs_head and subject.head is None
        ),
        "the models have no such outputs": lambda detector, subject: all(
            detector.missing(output_names(each.extractor)) for each in subjects
        ),
    }
    for reason, lacks in lacking.items():
        out = [n for n, d in detectors.items() if any(lacks(d, each) for each in subjects)]
        if out:
            log.warning("left out, since %s: %s", reason, ", ".join(out))
        detectors = {name: each for name, each in detectors.items() if name not in out}
    return detectors


def _announce_gradients(detectors, settings):
    """Says what steps on the image cost, before they do."""
    for name, detector in detectors.items():
        magnitudes = detector.GRID.get("magnitude", ()) if settings.tune else ()
        if any(magnitudes):
            others = [len(v) for key, v in detector.GRID.items() if key != "magnitude"]
            # Of in-distribution images and every kind of outlier, by a gradient and every step.
            images = (1 + len(OUTLIER_KINDS)) * settings.validation_images
            each = images * (2 + sum(map(bool, magnitudes)))
            log.info(
                "%s chooses its step on the image by about %s forward passes, however few images "
                "are tested; without tuning (tune=False, --notune) it takes its default",
                name, f"{each * math.prod(others):,}",
            )
        elif detector.input_step:
            log.info(
                "%s: a step on the image costs a gradient and a second forward pass over every "
                "image", name,
            )


def _check_accuracy(measured, subject, expected):
    if expected is None:
        return
    found, count = measured.entry["accuracy"], subject.images.testing.num_images
    error = math.sqrt(max(expected * (1 - expected), 1e-4) / count)
    if abs(found - expected) > 5 * error + 0.01:
        raise InvalidInputError(
            f"Expected an accuracy of {expected:.2%} from {subject.label!r}: do its images come "
            "with the preprocessing, resizing and class order that it was trained with? "
            f"Received: {found:.2%} on {count:,} test images"
        )


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
