"""Describes in a few lines the training run that is about to start."""

import keras

from kerasood.training.trainers import objective_named


def description(config, data, network):
    """Describes what is about to be trained, on what and how: str of a few lines.

    Args:
        config: StageConfig, all parameters of its objective known.
        data: TrainingData.
        network: keras.Model.
    """
    augmentation = f"crop {config.crop} px" if config.crop else "no crop"
    augmentation += ", flip" if config.flip else ", no flip"
    held = f"{len(data.validation[0]):,} held out" if data.validation else "none held out"
    objective = objective_named(config.objective).describe(config.objective_parameters)
    if config.derived:
        objective += "; " + ", ".join(
            f"{name} {value:g}" for name, value in config.derived.items()
        ) + " derived from the base"
    if config.outliers:
        objective += f"; {len(data.outliers):,} outliers ({config.outliers})"
    return (
        f"{network.name} ({network.count_params():,} parameters) on {config.dataset}: "
        f"{len(data.training[0]):,} training images ({held}), {data.num_classes} classes\n"
        f"objective {objective}; "
        f"{config.epochs} epochs of batch {config.batch_size}; Nesterov "
        f"{config.momentum:g}, learning rate {config.learning_rate:g} -> "
        f"{config.final_learning_rate:g} (cosine), L2 {config.weight_decay:g}; {augmentation}; "
        f"{config.precision}; seed {config.seed}; Keras {keras.__version__} on "
        f"{keras.backend.backend()}"
    )
