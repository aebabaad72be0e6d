"""Models x OOD sets x detectors in one call, for any Keras classifier and any images."""

import collections.abc
import dataclasses
import pathlib

import keras
import numpy as np

from kerasood import protocols, reporting
from kerasood.commands.common import choose
from kerasood.commands.measuring import (
    detector_names,
    measure,
    open_test,
    results_of,
    settings_of,
    usable_detectors,
)
from kerasood.commands.ood_sets import open_sets, set_entry, wanted_sets
from kerasood.config import EvaluateConfig
from kerasood.data.base import ArraySource
from kerasood.data.sources import availability, open_source
from kerasood.evaluation import OWN_SETS, Candidate
from kerasood.models.extractor import build_full_extractor, head_of

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
    Thresholds are calibrated too, and what they promise is checked.

    Args:
        model: keras.Model of any kind, or {label: keras.Model} to compare several; they stay as
            they are.
        in_data: name of a data set, path of an .npz file or image folder, or arrays {"train":
            (images, labels), "test": (images, labels), "calibration": images}: uint8 (N, H, W, 3)
            and int (N,). Without "train", detectors that learn are left out of "all"; without
            "calibration", one half of the test images calibrates.
        ood_sets: "all" registered sets that are at hand, a list of names or paths, or {name:
            images, name or path}.
        detectors: "all", or a list of names in DETECTORS.
        **options: fields of `kerasood.config.EvaluateConfig`: protocol, tpr, tune, batch_size,
            seed, data_dir, download...

    Returns:
        Benchmark.

    Raises:
        ValueError: a name, shape or option that does not exist or fit.
    """
    config = _config(detectors, options)
    models = model if isinstance(model, collections.abc.Mapping) else {"model": model}
    dataset = in_data if isinstance(in_data, str) else OWN_IMAGES
    test, shared = _in_distribution(in_data, config)
    candidates = [_candidate(label, each, shared) for label, each in models.items()]
    protocol = protocols.find(config.protocol or "full")
    sources, missing = _ood_sources(ood_sets, config, dataset, protocol)
    names = detector_names(config.detectors)
    usable = usable_detectors(names, candidates, detectors == "all", config.tune)
    settings = settings_of(config, usable, protocol)
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
    names = ("all",) if detectors == "all" else tuple(detectors)
    return EvaluateConfig(detectors=names, **options)


def _candidate(label, model, shared):
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected a keras.Model. Received: {type(model).__name__} for {label!r}")
    extractor = build_full_extractor(model)
    return Candidate(
        label, label, f"{model.name}, {model.count_params():,} parameters", extractor,
        head=head_of(extractor), **shared,
    )


def _in_distribution(in_data, config):
    """The test source, and {"training", "calibration"} sources or None."""
    if isinstance(in_data, str):
        where = {"data_dir": config.data_dir, "download": config.download}
        training = None
        if availability(in_data, "train", **where) is None:
            training = open_source(in_data, "train", **where)
        return open_test(config, in_data), {"training": training, "calibration": None}
    unknown = set(in_data) - {"train", "test", "calibration"}
    if unknown or "test" not in in_data:
        raise ValueError(
            'Expected arrays "test" and, if wanted, "train" and "calibration". '
            f"Received: {', '.join(map(str, in_data)) or 'none'}"
        )
    sources = {name: _array_source(name, value) for name, value in in_data.items()}
    test, training = sources["test"], sources.get("train")
    for source in filter(None, (test, training)):
        if source.num_classes is None:
            raise ValueError(f"Expected (images, labels) for {source.name!r}. Received: images")
    return test, {"training": training, "calibration": sources.get("calibration")}


def _ood_sources(ood_sets, config, dataset, protocol):
    """({name: ImageSource}, entries of what is missing)."""
    if isinstance(ood_sets, collections.abc.Mapping):
        named = {n: value for n, value in ood_sets.items() if isinstance(value, str | pathlib.Path)}
        arrays = {n: _array_source(n, value) for n, value in ood_sets.items() if n not in named}
        items = tuple(f"{name}={path}" for name, path in named.items())
    else:
        arrays, items = {}, ("all",) if ood_sets == "all" else tuple(map(str, ood_sets))
    wanted, missing = wanted_sets(
        dataclasses.replace(config, ood=items), protocol.set_names(dataset)
    )
    sources = {**open_sets(config, wanted), **arrays}
    if not sources or not sources.keys().isdisjoint(OWN_SETS):
        raise ValueError(
            f"Expected OOD sets that are at hand, none named {', '.join(OWN_SETS)}. "
            f"Received: {sorted(sources)}"
        )
    return sources, missing


def _array_source(name, value):
    images, labels = value if isinstance(value, tuple) else (value, None)
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
        raise ValueError(
            f"Expected uint8 images (N, H, W, 3), pixels 0-255, for {name!r}. "
            f"Received: dtype={images.dtype}, shape={images.shape}"
        )
    if labels is None:
        return ArraySource(name, images)
    labels = np.asarray(labels)
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"Expected {len(images)} integer labels for {name!r}. "
            f"Received: dtype={labels.dtype}, shape={labels.shape}"
        )
    return ArraySource(name, images, labels.astype("int32"), int(labels.max()) + 1)
