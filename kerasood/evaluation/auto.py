"""The choice of a detector for a model, from in-distribution images alone."""

import numpy as np

from kerasood.detectors import DETECTORS, build
from kerasood.errors import InvalidInputError
from kerasood.evaluation.choosing import CRITERION, FitData, choose, mean_metrics
from kerasood.extractor.build import output_names
from kerasood.logs import log

# While detectors are compared they are fitted on at most so many training images, evenly spaced;
# that bounds the time, and what is chosen is fitted on all of them in the end.
MOST_TRAINING = 10_000
# A memory bank travels with the model and is searched for every image: of two that are equal to a
# tenth of a percent the other one is taken.
MARGIN_OF_A_BANK = 0.001


def choose_detector(outputs, fitter):
    """The detector for a model and its parameters, by `validation_outliers`.

    Every registered detector that the model can have and that scores images as they are is fitted
    with its default parameters. The highest mean AUROC over the kinds of generated outliers wins,
    on images that the model is neither trained nor tested on; one that keeps a bank of training
    images must win by `MARGIN_OF_A_BANK`. Then the winner chooses its parameters by the same
    images, where it has any to choose: who compares all points of all grids takes what fits the
    generated outliers by chance. No OOD set and no test image has a say. docs/detectors says how
    good that is.

    Args:
        outputs: SubjectOutputs.
        fitter: FittedDetectors of these.

    Returns:
        (Detector with the parameters chosen, not fitted on all images; dict of JSON values:
        "detector", "params", "reason" in words, "runner_up", "ranking": [{"detector", "auroc"}]).

    Raises:
        ValueError: the subject has no images to choose on.
    """
    validation, aurocs = fitter.validation, {}
    for name in candidates(outputs.subject):
        detector = build(name)
        try:
            detector.fit(*_part_of(outputs.fit_data(detector)))
        except InvalidInputError as error:
            log.warning("auto: %s is left out: %s", name, error)
            continue
        aurocs[name] = mean_metrics(detector, validation.outputs)["auroc"]
        log.info(
            "auto: %s has a mean AUROC of %.2f %% on generated outliers", name, 100 * aurocs[name]
        )
    order = ranked(aurocs)
    first, second = order[0], (order[1:] or order)[0]
    detector = _with_parameters(build(first), outputs, validation, fitter.tune)
    reason = reason_of(aurocs, order, validation.num_images)
    log.info("auto: %s", reason)
    return detector, {
        "detector": first, "params": detector.choice_["chosen"], "reason": reason,
        "runner_up": second,
        "ranking": [{"detector": name, "auroc": aurocs[name]} for name in order],
    }


def reason_of(aurocs, order, num_images):
    """The choice in words, with the runner-up, or all that are level to the digit shown.

    Args:
        aurocs: as in `ranked`.
        order: names as `ranked` has them.
        num_images: how many images chose.
    """
    shown = {name: f"{100 * aurocs[name]:.2f} %" for name in order}
    first, rest = order[0], order[1:]
    level = [name for name in rest if shown[name] == shown[first]]
    beside = ""
    if level:
        beside = f", {' and '.join(level)} no less: these outliers do not tell them apart"
    elif rest:
        beside = f", {rest[0]} as the runner-up {shown[rest[0]]}"
        if aurocs[rest[0]] > aurocs[first]:
            beside += f" (it keeps training images, and must win by {100 * MARGIN_OF_A_BANK:.1f} %)"
    return (
        f"Of {len(order)} detectors {first} tells {num_images:,} images that were neither trained "
        f"nor tested on best from generated outliers: mean AUROC {shown[first]}{beside}. "
        "No OOD set had a say."
    )


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


def _with_parameters(detector, outputs, validation, tune):
    """The detector with the parameters that the validation images choose."""
    fit_data = _part_of(outputs.fit_data(detector))
    grid = {name: values for name, values in detector.GRID.items() if name != "magnitude"}
    if tune and grid:
        return choose(detector, fit_data, validation, grid)
    # It has chosen nothing, but what chose it must not calibrate it either.
    detector.choice_ = {
        "chosen": {}, "criterion": CRITERION, "num_images": validation.num_images,
        "images": validation.described, "outliers": validation.kinds, "default": None,
        "tried": [], **mean_metrics(detector.fit(*fit_data), validation.outputs),
    }
    return detector


def _part_of(fit_data):
    """At most MOST_TRAINING evenly spaced images of a FitData."""
    if fit_data.outputs is None:
        return fit_data
    total = len(next(iter(fit_data.outputs.values())))
    if total <= MOST_TRAINING:
        return fit_data
    rows = np.linspace(0, total - 1, MOST_TRAINING).astype(int)
    outputs = {name: array[rows] for name, array in fit_data.outputs.items()}
    labels = None if fit_data.labels is None else fit_data.labels[rows]
    return FitData(outputs, labels, fit_data.head)

