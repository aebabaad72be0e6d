"""Models x OOD sets x detectors in one call, for any Keras classifier and any images."""

import collections.abc
import dataclasses
import pathlib

import keras
import numpy as np

from kerasood import detectors as table
from kerasood import reporting
from kerasood.commands.common import console
from kerasood.commands.measuring import (
    detector_names,
    measure,
    open_test,
    results_of,
    settings_of,
    usable_detectors,
)
from kerasood.commands.ood_sets import open_sets, set_entry, size_note, wanted_sets
from kerasood.config import EvaluateConfig
from kerasood.data.decoding import PUBLISHED_SIZE
from kerasood.data.open import availability, open_source
from kerasood.data.source import ArraySource
from kerasood.errors import InvalidInputError
from kerasood.evaluation import protocols
from kerasood.evaluation.measure import OWN_SETS, Candidate
from kerasood.extractor.build import build_full_extractor, head_of, is_extractor, output_names
from kerasood.extractor.precision import in_float32
from kerasood.names import choose

OWN_IMAGES = "your images"


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What `benchmark` measured; a notebook shows its table.

    Args:
        results: JSON values, as in the results.json of an evaluation.
        scores: {(model, detector, OOD set or "in"): (N,) float32}.
        detectors: {model: {name: fitted Detector}}.
    """

    results: dict
    scores: dict
    detectors: dict

    def table(self):
        """The whole report as Markdown."""
        return reporting.to_markdown(self.results)

    def summary(self, role=None):
        """Mean FPR95 and AUROC of every model and detector: list of dict, best FPR95 first.

        Args:
            role: "far", "near" or "synthetic" OOD sets; by default the first that there are.
        """
        role = role or self.results["means"][0]["role"]
        rows = [entry for entry in self.results["means"] if entry["role"] == role]
        return sorted(rows, key=lambda entry: entry["fpr95"])

    def report(self, folder):
        """Writes results.json, scores.npz, report.md and report.html; returns the page's path."""
        return reporting.write_report(self.results, self.scores, folder)

    def _repr_markdown_(self):
        return self.table()


def benchmark(model, in_data, ood_sets="all", detectors="all", **options):
    """Measures how well detectors tell in-distribution from OOD images.

    Every image is computed once per model, and once more per detector with a step on the image.
    Sets that are given by name or path come in the size that the models take: for models of other
    than 32x32 pixels all are resized (antialiased bilinear), which the report says of sets whose
    images are all stored in one other size. Arrays are taken as they are.
    Thresholds are calibrated too, and what they promise is checked.

    Args:
        model: keras.Model of any kind, or {label: keras.Model} to compare several; they stay as
            they are. A model of more outputs by name, "logits" among them, is taken as its own
            extractor, as detectors that read more than features and logits need it.
        in_data: name of a data set, path of an .npz file or image folder, or arrays {"train":
            (images, labels), "test": (images, labels), "calibration": images}: uint8 (N, H, W, 3)
            and int (N,). Without "train", detectors that learn are left out of "all"; without
            "calibration", one half of the test images calibrates.
        ood_sets: "all" registered sets that are at hand, a name or path, a list of these, or
            {name: images, name or path}.
        detectors: "all", a name as `kerasood.detectors.build` takes it, a list of names, or {name:
            Detector}, whose parameters stay as they are.
        **options: fields of `kerasood.config.EvaluateConfig`: protocol, tpr, tune, batch_size,
            seed, data_dir, download...

    Returns:
        Benchmark.

    Raises:
        ValueError: a name, shape or option that does not exist or fit.
    """
    config = _config(detectors, options)
    models = model if isinstance(model, collections.abc.Mapping) else {"model": model}
    in_data = str(in_data) if isinstance(in_data, pathlib.Path) else in_data
    dataset = in_data if isinstance(in_data, str) else OWN_IMAGES
    extractors = {label: _extractor(label, each) for label, each in models.items()}
    image_size = _image_size(extractors)
    test, shared = _in_distribution(in_data, config, image_size)
    candidates = [
        _candidate(label, each, extractors[label], shared) for label, each in models.items()
    ]
    _check_shapes(candidates, {**shared, "test": test})
    protocol = protocols.find(config.protocol or "full")
    sources, missing = _ood_sources(ood_sets, config, dataset, protocol, image_size)
    _check_shapes(candidates, sources)
    _announce_sizes({dataset: test, **sources})
    settings = _settings(config, detectors, candidates, protocol)
    evaluated = measure(candidates, test, sources, settings)
    results = results_of(config, dataset, test, settings, evaluated)
    results["sets"] = [
        set_entry(name, source, dataset, test.num_images, protocol)
        for name, source in sources.items()
    ]
    results["missing"] = missing
    results["means"] = protocols.means_by_role(results["metrics"], results["sets"])
    results["seeds"] = []
    scores = {key: values for each in evaluated.values() for key, values in each.scores.items()}
    return Benchmark(results, scores, {key: each.detectors for key, each in evaluated.items()})


def _config(detectors, options):
    fields = {field.name for field in dataclasses.fields(EvaluateConfig)}
    for name in options:
        choose("option", name, sorted(fields - {"run", "ood", "detectors", "suite", "out"}))
    names = (detectors,) if isinstance(detectors, str) else tuple(detectors)
    if not names or not all(isinstance(name, str) for name in names):
        received = ", ".join(map(repr, names)) or "none"
        raise InvalidInputError(
            "Expected names of detectors, at least one, or {name: Detector}. "
            f"Received: {received}"
        )
    return EvaluateConfig(detectors=names, **options)


def _settings(config, detectors, candidates, protocol):
    if not isinstance(detectors, collections.abc.Mapping):
        names = detector_names(config.detectors)
        usable = usable_detectors(names, candidates, detectors == "all", config.tune)
        return settings_of(config, usable, protocol)
    for name, detector in detectors.items():
        if not isinstance(detector, table.Detector):
            raise InvalidInputError(f"Expected a Detector for {name!r}. Received: {detector!r}")
    settings = settings_of(config, dict(detectors), protocol)
    return dataclasses.replace(settings, tune=False)


def _extractor(label, model):
    if not isinstance(model, keras.Model):
        raise InvalidInputError(
            f"Expected a keras.Model. Received: {type(model).__name__} for {label!r}"
        )
    extractor = in_float32(model) if is_extractor(model) else build_full_extractor(model)
    if "logits" not in output_names(extractor):
        raise InvalidInputError(
            f"Expected an output 'logits'. Received: {output_names(extractor)} of {label!r}"
        )
    return extractor


def _image_size(extractors):
    """Side of the squares that all models take, pixels; 32 where they take any size.

    Models that take other images than squares of one size are left to `_check_shapes`.
    """
    shapes = [each.inputs[0].shape for each in extractors.values()]
    sides = {side for shape in shapes if len(shape) == 4 for side in shape[1:3]} - {None}
    return sides.pop() if len(sides) == 1 else PUBLISHED_SIZE


def _announce_sizes(sources):
    for name, source in sources.items():
        if note := size_note(source):
            console.print(f"{name}: {note}", style="yellow", markup=False)


def _candidate(label, model, extractor, shared):
    head = _head_or_none(extractor) if is_extractor(model) else head_of(extractor)
    described = f"{model.name}, {model.count_params():,} parameters"
    return Candidate(label, label, described, extractor, head=head, **shared)


def _head_or_none(extractor):
    """The weights of a head; None for one that is not linear, such as G-ODIN's."""
    try:
        return head_of(extractor)
    except ValueError:
        return None


def _check_shapes(candidates, sources):
    """Refuses images of another size than a model takes: some models answer them all the same."""
    for name, source in sources.items():
        if source is None:
            continue
        images, _ = next(iter(source.batches(1)))
        for candidate in candidates:
            expected = tuple(candidate.extractor.inputs[0].shape[1:])
            pairs = zip(images.shape[1:], expected, strict=False)
            if len(expected) != 3 or any(None not in pair and pair[0] != pair[1] for pair in pairs):
                raise InvalidInputError(
                    f"Expected images of shape {expected}, which {candidate.label!r} takes. "
                    f"Received: shape={images.shape[1:]} in {name!r}"
                )


def _in_distribution(in_data, config, image_size):
    """The test source, and {"training", "calibration"} sources or None."""
    if isinstance(in_data, str):
        options = config.data.replace(image_size=image_size)
        training = None
        if availability(in_data, "train", options) is None:
            training = open_source(in_data, "train", options)
        return open_test(config, in_data, image_size), {"training": training, "calibration": None}
    if not isinstance(in_data, collections.abc.Mapping):
        raise InvalidInputError(
            'Expected a name, a path or {"test": (images, labels), ...}. '
            f"Received: {type(in_data).__name__}"
        )
    unknown = set(in_data) - {"train", "test", "calibration"}
    if unknown or "test" not in in_data:
        raise InvalidInputError(
            'Expected arrays "test" and, if wanted, "train" and "calibration". '
            f"Received: {', '.join(map(str, in_data)) or 'none'}"
        )
    sources = {name: _array_source(name, value) for name, value in in_data.items()}
    test, training = sources["test"], sources.get("train")
    for source in filter(None, (test, training)):
        if source.num_classes is None:
            raise InvalidInputError(
                f"Expected (images, labels) for {source.name!r}. Received: images"
            )
    return test, {"training": training, "calibration": sources.get("calibration")}


def _ood_sources(ood_sets, config, dataset, protocol, image_size):
    """({name: ImageSource}, entries of what is missing)."""
    if isinstance(ood_sets, collections.abc.Mapping):
        named = {n: value for n, value in ood_sets.items() if isinstance(value, str | pathlib.Path)}
        arrays = {n: _array_source(n, value) for n, value in ood_sets.items() if n not in named}
        items = tuple(f"{name}={path}" for name, path in named.items())
    elif isinstance(ood_sets, np.ndarray):
        raise InvalidInputError(
            "Expected names of OOD sets, or {name: images}. "
            f"Received: an array of shape={ood_sets.shape}"
        )
    else:
        listed = [ood_sets] if isinstance(ood_sets, str | pathlib.Path) else ood_sets
        arrays, items = {}, tuple(map(str, listed))
    wanted, missing = wanted_sets(
        dataclasses.replace(config, ood=items), protocol.set_names(dataset), image_size
    )
    sources = {**open_sets(config, wanted, image_size), **arrays}
    if not sources or not sources.keys().isdisjoint(OWN_SETS):
        raise InvalidInputError(
            f"Expected OOD sets that are at hand, none named {', '.join(OWN_SETS)}. "
            f"Received: {sorted(sources)}"
        )
    return sources, missing


def _array_source(name, value):
    images, labels = value if _is_pair(value) else (value, None)
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise InvalidInputError(
            f"Expected uint8 images (N, H, W, 3), pixels 0-255, for {name!r}. "
            f"Received: dtype={images.dtype}, shape={images.shape}"
        )
    if labels is None:
        return ArraySource(name, images)
    labels = np.asarray(labels)
    # As `keras.datasets` has them.
    labels = labels[:, 0] if labels.shape == (len(images), 1) else labels
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise InvalidInputError(
            f"Expected {len(images)} integer labels for {name!r}. "
            f"Received: dtype={labels.dtype}, shape={labels.shape}"
        )
    return ArraySource(name, images, labels.astype("int32"), int(labels.max()) + 1)


def _is_pair(value):
    """Whether it is (images, labels)."""
    return isinstance(value, tuple) or isinstance(value, list) and np.ndim(value[0]) == 4
