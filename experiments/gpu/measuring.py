"""Numbers of one network by many detectors, outputs collected once, without a step on the image."""

import numpy as np

from kerasood.data import registry, roles
from kerasood.data.open import availability, open_source
from kerasood.data.options import DataOptions
from kerasood.data.source import ArraySource
from kerasood.data.splits import halves
from kerasood.data.validation_outliers import validation_outliers
from kerasood.detectors import build
from kerasood.evaluation import protocols
from kerasood.evaluation.subject import Subject, divide
from kerasood.evaluation.subject_outputs import SubjectOutputs
from kerasood.extractor.build import build_full_extractor, head_of
from kerasood.metrics import all_metrics
from kerasood.reporting.paper import stand_ins
from kerasood.reporting.paper_numbers import SETS

# What looks at outputs as they are, at default parameters: cheap for many networks.
DETECTORS = (
    "energy", "msp", "max_logit", "gen", "grad_norm", "react", "ash_s", "scale", "dice",
    "react+msp", "mahalanobis", "relative_mahalanobis", "knn", "vim", "she", "fdbd", "nnguide",
    "nci",
)
# Test images that outliers are made from, to choose recipes on.
CHOOSING_IMAGES = 1000
SEED = 1


def _wanted(name):
    """Whether a set judges or chooses; generated noise does neither."""
    return not registry.DATASETS[name].synthetic


def judged_sets(names):
    """Of some OOD sets those that judge: the paper's, and the stand-ins for those that lack."""
    judged = [name for name in SETS if name in names]
    for name in SETS:
        if name not in names:
            judged += [other for other in stand_ins(name) if other in names]
    return tuple(judged)


def choosing_sets(names):
    """Of some OOD sets those that may choose: real ones that neither judge nor stand in."""
    return tuple(
        name
        for name in names
        if name not in SETS
        and registry.DATASETS[name].stand_in_for is None
        and _wanted(name)
    )


def measure(network, dataset, data_dir, detectors=DETECTORS, choosing=True):
    """Accuracy, and what each detector tells apart.

    The numbers to choose by come from one half of the in-distribution test images, from outliers
    made of these, and from OOD sets that judge nothing.

    Args:
        network: keras.Model, images -> logits.
        dataset: name of the in-distribution set.
        data_dir: str, where the images are.
        detectors: names that `build` takes.
        choosing: bool, whether numbers to choose by are wanted.

    Returns:
        {"accuracy", "choosing_accuracy", "detectors": {name: {"paper", "full": {set: {metric:
        fraction}}, "choosing": {set: FPR95}}}}, JSON values.
    """
    options = DataOptions(data_dir, download=False)
    extractor = build_full_extractor(network)
    training = open_source(dataset, "train", options)
    test = open_source(dataset, "test", options)
    images = divide(test, training)
    outputs = SubjectOutputs(
        Subject("network", "network", "", extractor, images, head=head_of(extractor))
    )
    tested = outputs.collect(test, "in")
    right = tested.outputs["logits"].argmax(axis=1) == tested.labels
    half, _ = halves(len(right), SEED)
    sources = {
        name: open_source(name, "ood", options)
        for name in roles.ood_names(dataset)
        if _wanted(name) and availability(name, "ood", options) is None
    }
    generated = _generated(test, half) if choosing else {}
    measured = {}
    for name in detectors:
        detector = build(name)
        fit_data = outputs.fit_data(detector)
        detector.fit(fit_data.outputs, fit_data.labels, fit_data.head)
        scores = {
            key: outputs.scores(detector, source, key)
            for key, source in {"in": test, **sources, **generated}.items()
        }
        measured[name] = _numbers(scores, sources, (*generated, *choosing_sets(sources)), half)
    return {
        "accuracy": float(right.mean()),
        "choosing_accuracy": float(right[half].mean()),
        "detectors": measured,
    }


def _generated(test, half):
    images, _ = test.load()
    outliers = validation_outliers(images[half[:CHOOSING_IMAGES]], SEED)
    return {f"generated {kind}": ArraySource(kind, made) for kind, made in outliers.items()}


def _numbers(scores, sources, choosing, half):
    paper, full = {}, {}
    for name in sources:
        full[name] = all_metrics(scores["in"], scores[name])
        drawn = protocols.find("paper").evaluate(scores["in"], scores[name], name, SEED)
        paper[name] = {metric: value["mean"] for metric, value in drawn.items()}
    return {
        "paper": paper,
        "full": full,
        "choosing": {
            name: all_metrics(scores["in"][half], scores[name])["fpr95"] for name in choosing
        },
    }


def judged_mean(measured, protocol="paper", metric="fpr95"):
    """Mean over the sets that judge, of one detector's numbers from `measure`."""
    numbers = measured[protocol]
    return float(np.mean([numbers[name][metric] for name in judged_sets(numbers)]))


def choosing_mean(measured):
    """Mean FPR95 to choose by: half from generated outliers, half from sets that judge nothing."""
    made = [value for name, value in measured["choosing"].items() if name.startswith("generated ")]
    real = [value for name, value in measured["choosing"].items() if " " not in name]
    return float(np.mean([np.mean(part) for part in (made, real) if part]))
