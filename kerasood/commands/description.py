"""What one training run is about to do, in a few lines."""

import dataclasses

import keras

from kerasood.commands.common import console
from kerasood.training.margins import QUANTILE


def describe(config, data, network):
    """Prints what is about to be trained, on what and how.

    Args:
        config: StageConfig, its margins in numbers.
        data: TrainingData.
        network: keras.Model.
    """
    augmentation = f"crop {config.crop} px" if config.crop else "no crop"
    augmentation += ", flip" if config.flip else ", no flip"
    held = f"{len(data.validation[0]):,} held out" if data.validation else "none held out"
    console.print(
        f"{network.name} ({network.count_params():,} parameters) on {config.dataset}: "
        f"{len(data.training[0]):,} training images ({held}), {data.num_classes} classes\n"
        f"objective {_objective(config, data)}; "
        f"{config.epochs} epochs of batch {config.batch_size}; Nesterov "
        f"{config.momentum:g}, learning rate {config.learning_rate:g} -> "
        f"{config.final_learning_rate:g} (cosine), L2 {config.weight_decay:g}; {augmentation}; "
        f"{config.precision}; seed {config.seed}; Keras {keras.__version__} on "
        f"{keras.backend.backend()}",
        markup=False,
    )


def _objective(config, data):
    described = {
        "sparsity": "ce + {weight:g} * mean ||{site}||_1",
        "energy": "ce + {weight:g} * (mean max(0, E_in - {margin_in:g})^2 "
        "+ mean max(0, {margin_out:g} - E_out)^2)",
        "outlier_exposure": "ce + {weight:g} * mean ce to uniform",
        "logit_norm": "ce of logits of norm 1 / 0.04",
    }
    text = described.get(config.objective, "ce").format(**dataclasses.asdict(config))
    if config.margins == "auto":
        text += (
            f"; margins from the base: {QUANTILE:.0%} of its energies on training images lie "
            f"below {config.margin_in:g}, {QUANTILE:.0%} of those on outliers above "
            f"{config.margin_out:g}"
        )
    if config.outliers:
        text += f"; {len(data.outliers):,} outliers ({config.outliers})"
    return text
