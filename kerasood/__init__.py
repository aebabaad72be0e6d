"""Out-of-distribution detection for Keras 3 that ships inside the exported graph.

What one needs, each loaded when it is first used:

    fine_tune, training        any classifier fine-tuned for it; objectives, train.py's work
    build_extractor, head_of   a classifier as a map from images to features and logits
    Preprocessing              what pixels go through first, kept inside the model
    DETECTORS, detectors       scores over them; `fit`, `score`; `detectors.register`
    calibrate                  a Threshold with what it promises
    OODModel, recalibrate      classifier, detector and threshold as one Keras model
    drift_check                is traffic still flagged as often as promised?
    export_model               SavedModel and TFLite, verified
    score_files                a row of answers for every file, from an exported model
    benchmark                  models x OOD sets x detectors -> tables and a report
    WideResNet, zoo            the paper's network; trained ones: `zoo.names()`, `zoo.load(name)`
    CrossEntropyTraining, SparsityFineTuning
                               Keras models that train any classifier by the paper's objectives
    KerasoodError              base of every error that is raised on purpose

Importing kerasood registers its layers and models with Keras, as soon as Keras is there, so that
`keras.saving.load_model` finds them. TensorFlow's native code is silent from then on, unless it was
imported before or TF_CPP_MIN_LOG_LEVEL says otherwise: its errors arrive as exceptions.
"""

import importlib.abc
import importlib.util
import os
import sys
import typing

from kerasood.quiet import quiet

__version__ = "0.1.0"

if typing.TYPE_CHECKING:
    from kerasood.benchmarking import benchmark
    from kerasood.detectors import DETECTORS, Detector
    from kerasood.errors import KerasoodError
    from kerasood.export import export_model
    from kerasood.extractor import Preprocessing, build_extractor, head_of
    from kerasood.networks.wide_resnet import WideResNet
    from kerasood.scoring import score_files
    from kerasood.serving import OODModel, recalibrate
    from kerasood.thresholds import (
        PerClassThreshold,
        Threshold,
        calibrate,
        calibrate_per_class,
        drift_check,
    )
    from kerasood.training import fine_tune
    from kerasood.training.trainers import (
        CrossEntropyTraining,
        EnergyFineTuning,
        LogitNormFineTuning,
        OutlierExposure,
        SparsityFineTuning,
    )

_PUBLIC = {
    "kerasood.benchmarking": ("benchmark",),
    "kerasood.detectors": ("DETECTORS", "Detector"),
    "kerasood.errors": ("KerasoodError",),
    "kerasood.export": ("export_model",),
    "kerasood.extractor": ("Preprocessing", "build_extractor", "head_of"),
    "kerasood.networks.wide_resnet": ("WideResNet",),
    "kerasood.scoring": ("score_files",),
    "kerasood.serving": ("OODModel", "recalibrate"),
    "kerasood.thresholds": (
        "PerClassThreshold", "Threshold", "calibrate", "calibrate_per_class", "drift_check",
    ),
    "kerasood.training": ("fine_tune",),
    "kerasood.training.trainers": (
        "CrossEntropyTraining", "EnergyFineTuning", "LogitNormFineTuning", "OutlierExposure",
        "SparsityFineTuning",
    ),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}
_MODULES = {
    "detectors": "kerasood.detectors",
    "metrics": "kerasood.metrics",
    "thresholds": "kerasood.thresholds",
    "training": "kerasood.training",
    "zoo": "kerasood.networks.zoo",
}

_WITH_CLASSES_OF_FILES = (
    "kerasood.extractor.build",
    "kerasood.networks.augmentation",
    "kerasood.networks.decomposed_head",
    "kerasood.networks.wide_resnet",
    "kerasood.serving",
    "kerasood.training.optimizers",
)
# What needs no Keras, whose import takes seconds: --help is answered before it.
_LIGHT = {
    "quiet", "errors", "logs", "names", "files", "data", "config", "provenance", "commands",
    "kerasood.export", "kerasood.export.config",
    "kerasood.training", "kerasood.training.declared", "kerasood.training.options",
    "kerasood.training.parameters", "kerasood.training.recipe",
}

__all__ = [
    "CrossEntropyTraining", "DETECTORS", "Detector", "EnergyFineTuning", "KerasoodError",
    "LogitNormFineTuning", "OODModel", "OutlierExposure", "PerClassThreshold", "Preprocessing",
    "SparsityFineTuning", "Threshold", "WideResNet", "benchmark", "build_extractor", "calibrate",
    "calibrate_per_class", "drift_check", "export_model", "fine_tune", "head_of", "recalibrate",
    "score_files",
]


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'kerasood' has no attribute {name!r}")


def __dir__():
    return sorted([*__all__, *_MODULES, "__version__"])


class _KerasFirst(importlib.abc.MetaPathFinder):
    """Imports Keras when a module first needs it: in silence, and kerasood's classes with it."""

    def find_spec(self, name, path=None, target=None):
        if name in ("keras", "tensorflow"):
            others = (finder for finder in sys.meta_path if finder is not self)
            specs = (finder.find_spec(name, path, target) for finder in others)
            return self._in_silence(next(filter(None, specs), None))
        if name.startswith("kerasood.") and not _is_light(name):
            # Before any of our modules is half there, since registering imports several.
            importlib.import_module("keras")
        return None

    def _in_silence(self, spec):
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                # TensorFlow's first import writes to stderr past every log level.
                with quiet():
                    execute(module)
                    if spec.name == "keras":
                        sys.meta_path.remove(self)
                        _register()

            spec.loader.exec_module = exec_module
        return spec


def _is_light(name):
    room = name.split(".")[1]
    return room in _LIGHT or name in _LIGHT


def _register():
    for name in _WITH_CLASSES_OF_FILES:
        importlib.import_module(name)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "keras" in sys.modules:
    with quiet():
        _register()
else:
    sys.meta_path.insert(0, _KerasFirst())
