"""OBJECTIVES, the training objectives: one Keras model around any network each."""

from kerasood.errors import InvalidInputError
from kerasood.names import choose
from kerasood.training.trainers.background_resampling import BackgroundResampling
from kerasood.training.trainers.confident_gan import ConfidentClassifier
from kerasood.training.trainers.cross_entropy import CrossEntropyTraining
from kerasood.training.trainers.discrepancy import ClassifierDiscrepancy
from kerasood.training.trainers.energy import EnergyFineTuning
from kerasood.training.trainers.g_odin import DecomposedConfidence
from kerasood.training.trainers.logit_norm import LogitNormFineTuning
from kerasood.training.trainers.oecc import ConfidenceControl
from kerasood.training.trainers.outlier_exposure import OutlierExposure
from kerasood.training.trainers.outlier_mining import AdversarialOutlierMining, OutlierMining
from kerasood.training.trainers.outlier_training import OutlierTraining
from kerasood.training.trainers.reject_classes import SelfSupervisedReject
from kerasood.training.trainers.sparsity import SparsityFineTuning
from kerasood.training.trainers.t2fnorm import FeatureNormTraining
from kerasood.training.trainers.udg import UnsupervisedDualGrouping

__all__ = [
    "OBJECTIVES", "CrossEntropyTraining", "EnergyFineTuning", "LogitNormFineTuning",
    "OutlierExposure", "OutlierTraining", "SparsityFineTuning", "objective_named",
    "register_objective",
]

OBJECTIVES = {}


def register_objective(objective: type) -> type:
    """Makes an objective known to `fine_tune`, `train.py` and what names or prints its runs.

    Args:
        objective: subclass of CrossEntropyTraining with a name of its own in `objective`.

    Returns:
        `objective`, so that this is also a decorator.

    Raises:
        ValueError: no such class, a name that is taken, a parameter without its line of `help`, or
            one that another objective has with another type.
    """
    if not (isinstance(objective, type) and issubclass(objective, CrossEntropyTraining)):
        raise InvalidInputError(
            f"Expected a subclass of CrossEntropyTraining. Received: {objective!r}"
        )
    name = objective.objective
    if name in OBJECTIVES:
        raise InvalidInputError(f"Expected a new name of an objective. Received: {name!r}, taken")
    try:
        parameters = objective.own_parameters()
    except KeyError as error:
        raise InvalidInputError(
            f"Expected a type and a line of `help` for every parameter of {name!r}. Received: "
            f"none for {error}"
        ) from error
    for parameter, ours in parameters.items():
        for other in OBJECTIVES.values():
            theirs = other.own_parameters().get(parameter, ours)
            if theirs.kind != ours.kind:
                raise InvalidInputError(
                    f"Expected parameter {parameter} to be {theirs.kind}, as that of "
                    f"{other.objective!r}. Received: {ours.kind}"
                )
    OBJECTIVES[name] = objective
    return objective


def objective_named(name):
    """The class of an objective.

    Raises:
        ValueError: there is none of that name.
    """
    return OBJECTIVES[choose("objective", name, OBJECTIVES)]


for _objective in (
    SparsityFineTuning,
    CrossEntropyTraining,
    EnergyFineTuning,
    OutlierExposure,
    LogitNormFineTuning,
    FeatureNormTraining,
    DecomposedConfidence,
    ConfidentClassifier,
    ConfidenceControl,
    OutlierMining,
    AdversarialOutlierMining,
    BackgroundResampling,
    SelfSupervisedReject,
    ClassifierDiscrepancy,
    UnsupervisedDualGrouping,
):
    register_objective(_objective)
