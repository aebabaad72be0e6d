"""Models x OOD sets x detectors in one call, for any Keras classifier and any images."""

import dataclasses
import os
import typing
from collections.abc import Mapping, Sequence

from kerasood.benchmarking.benchmark_result import Benchmark
from kerasood.benchmarking.evaluating import evaluate_subjects, num_choosing, progress_of
from kerasood.data.options import DataOptions
from kerasood.errors import check_fraction
from kerasood.evaluation.image_checks import check_shapes
from kerasood.evaluation.measure import Settings
from kerasood.evaluation.ood_sets import open_sets, own_sets, size_note
from kerasood.evaluation.subject import subjects_of
from kerasood.logs import log
from kerasood.names import choose

OF_DATA = ("data_dir", "download", "strict")


def benchmark(
    model: typing.Any, in_data: typing.Any, ood_sets: typing.Any = "all",
    detectors: typing.Any = "all", *, preprocessing: typing.Any = None,
    class_names: Sequence[str] | None = None, cache: str | os.PathLike | None = None,
    verbose: typing.Any = "auto", expected_accuracy: float | None = None, **options: typing.Any,
) -> Benchmark:
    """Measures how well detectors tell in-distribution from OOD images.

    Every image is computed once per model, and once more per detector with a step on the image.
    Sets that are given by name or path come in the size and channels that the models take, resized
    as their Preprocessing says; images that are given themselves are taken as they are. Thresholds
    are calibrated too, and what they promise is checked.

    Args:
        model: keras.Model of any kind, or {label: keras.Model} to compare several; they stay as
            they are. A model of more outputs by name, "logits" among them, is taken as its own
            extractor, as detectors that read more than features and logits need it.
        in_data: name of a data set, path of an .npz file, image folder or list of files, or images
            {"train": (images, labels), "test": (images, labels), "calibration": images}, each as
            `kerasood.data.as_source` takes it: uint8 (N, H, W, C) and int (N,), a tf.data.Dataset
            or a PyDataset; or "test" alone. Without "train", detectors that learn are left out of
            "all"; without "calibration", test images choose parameters (those are not tested on)
            and calibrate.
        ood_sets: "all" registered sets that are at hand, a name or path, a list of these, or
            {name: images, name or path}.
        detectors: "all", a name as `kerasood.detectors.build` takes it, a list of names, or {name:
            Detector}, whose parameters stay as they are.
        preprocessing: what pixels 0-255 go through first; see `kerasood.build_extractor`.
        class_names: names of the models' outputs in their order, by which class folders become
            labels; images may then lack some classes.
        cache: folder that keeps outputs by the hash of model and images, so that a second call
            computes them no more; or None.
        verbose: "auto", 0 or 1: whether a progress bar is printed, "auto" in a terminal alone.
        expected_accuracy: accuracy that the model is known to have, as a share; one that differs by
            more than five standard errors and a hundredth means that it sees other pixels or
            labels than in training, and is an error.
        **options: protocol, tpr, tune, validation_images, batch_size and seed of
            `kerasood.evaluation.measure.Settings`; data_dir, download and strict of
            `kerasood.data.DataOptions`.

    Raises:
        ValueError: a name, shape or option that does not exist or fit, or another accuracy.
    """
    if expected_accuracy is not None:
        check_fraction(expected_accuracy=expected_accuracy)
    settings, data = _options(options)
    data = data.replace(class_names=class_names)
    if isinstance(detectors, Mapping):
        settings = dataclasses.replace(settings, tune=False)
    subjects, dataset, data = subjects_of(
        model, in_data, data, num_choosing(detectors, settings), settings.seed, cache, preprocessing
    )
    of_others = data.replace(class_names=None)
    sources, missing = open_sets(ood_sets, settings.protocol.set_names(dataset), of_others)
    check_shapes(subjects, sources)
    for name, source in {dataset: subjects[0].images.testing, **sources}.items():
        if note := size_note(source):
            log.warning("%s: %s", name, note)
    return evaluate_subjects(
        subjects, dataset, sources, missing, detectors, settings, progress=progress_of(verbose),
        expected_accuracy=expected_accuracy, own_sets=own_sets(ood_sets),
    )


def _options(options):
    """(Settings, DataOptions) of options by name."""
    names = [*(field.name for field in dataclasses.fields(Settings)), *OF_DATA]
    for name in options:
        choose("option", name, names)
    of_data = {name: options.pop(name) for name in OF_DATA if name in options}
    return Settings(**options), DataOptions(**of_data)
