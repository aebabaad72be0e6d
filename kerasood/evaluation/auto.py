"""The choice of a detector for a model, from in-distribution images alone."""

import numpy as np

from kerasood.detectors import DETECTORS, build
from kerasood.evaluation.choosing import CRITERION, Fitting, choose, mean_metrics
from kerasood.extractor.build import output_names
from kerasood.logs import log

# While detectors are compared they are fitted on at most so many training images, evenly spaced;
# that bounds the time, and what is chosen is fitted on all of them in the end.
MOST_TRAINING = 10_000
# A memory bank travels with the model and is searched for every image: it must be this much better.
MARGIN_OF_A_BANK = 0.005


def choose_detector(outputs, fitter):
    """The detector for a model and its parameters, by outliers made from in-distribution images.

    Every registered detector that the model can have and that scores images as they are is fitted
    and chooses its parameters by its mean AUROC over the kinds of generated outliers, on images
    that the model is neither trained nor tested on. The highest mean wins; one that keeps a bank of
    training images must win by `MARGIN_OF_A_BANK`. No OOD set and no test image has a say.

    Args:
        outputs: SubjectOutputs.
        fitter: FittedDetectors of these.

    Returns:
        (Detector with the parameters chosen, not fitted on all images; dict of JSON values:
        "detector", "reason" in words, "runner_up", "ranking": [{"detector", "auroc", "params"}]).

    Raises:
        ValueError: the subject has no images to choose on.
    """
    validation, found = fitter.validation, {}
    for name in candidates(outputs.subject):
        found[name] = _trial(build(name), outputs, validation)
        log.info("auto: %s has a mean AUROC of %.2f %% on generated outliers", name,
                 100 * found[name][1])
    order = ranked({name: auroc for name, (_, auroc) in found.items()})
    first, second = order[0], (order[1:] or order)[0]
    detector = found[first][0]
    reason = (
        f"Of {len(order)} detectors {first} tells {validation.num_images:,} images that were "
        f"neither trained nor tested on best from outliers made from them: mean AUROC "
        f"{100 * found[first][1]:.2f} %, {second} as the runner-up {100 * found[second][1]:.2f} %. "
        "No OOD set had a say."
    )
    log.info("auto: %s", reason)
    ranking = [
        {"detector": name, "auroc": found[name][1], "params": _plain_params(found[name][0])}
        for name in order
    ]
    return detector, {
        "detector": first, "reason": reason, "runner_up": second, "ranking": ranking
    }


def candidates(subject):
    """Names of the detectors that `choose_detector` compares for a subject."""
    names = output_names(subject.extractor)
    return [
        name
        for name, kind in DETECTORS.items()
        if not (kind.learns and subject.images.training is None)
        and not (kind.needs_head and subject.head is None)
        and not kind().missing(names)
        and not build(name).input_step
    ]


def ranked(aurocs):
    """Names of detectors, the one to take first.

    Args:
        aurocs: {name: mean AUROC over the kinds of generated outliers}.
    """
    return sorted(
        aurocs,
        key=lambda name: aurocs[name] - MARGIN_OF_A_BANK * has_bank(name),
        reverse=True,
    )


def has_bank(name):
    """True for a detector that keeps training images, whose search is work for the backend."""
    return build(name).on_backend


def _trial(detector, outputs, validation):
    """(the detector with parameters chosen, its mean AUROC)."""
    fitting = _part_of(outputs.fitting(detector))
    grid = {name: values for name, values in detector.GRID.items() if name != "magnitude"}
    if grid:
        best = choose(detector, fitting, validation, grid)
        return best, best.choice_["auroc"]
    measured = mean_metrics(detector.fit(*fitting), validation.outputs)
    # It has nothing to choose, but what chose it must not calibrate it either.
    detector.choice_ = {
        "chosen": {}, "criterion": CRITERION, "num_images": validation.num_images,
        "images": validation.described, "outliers": validation.kinds, "default": None,
        "tried": [], **measured,
    }
    return detector, measured["auroc"]


def _part_of(fitting):
    """At most MOST_TRAINING evenly spaced images of a Fitting."""
    if fitting.outputs is None:
        return fitting
    total = len(next(iter(fitting.outputs.values())))
    if total <= MOST_TRAINING:
        return fitting
    rows = np.linspace(0, total - 1, MOST_TRAINING).astype(int)
    outputs = {name: array[rows] for name, array in fitting.outputs.items()}
    labels = None if fitting.labels is None else fitting.labels[rows]
    return Fitting(outputs, labels, fitting.head)


def _plain_params(detector):
    return {name: getattr(detector, name) for name in detector.GRID}
