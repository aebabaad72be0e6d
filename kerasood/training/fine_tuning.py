"""`fine_tune`: any Keras classifier, any Keras data, any objective, in one call."""

import dataclasses
import typing

import keras
import numpy as np

from kerasood.errors import InvalidInputError, check_positive, check_whole
from kerasood.extractor._keras import has_graph
from kerasood.extractor.build import attached_extractor
from kerasood.extractor.precision import rebuilt
from kerasood.extractor.preprocessing import warn_of_raw_pixels, with_preprocessing
from kerasood.logs import log
from kerasood.training.batches import Batches, PairedBatches, each_batch, num_batches
from kerasood.training.callbacks import BeginEpoch, StopOnNaN
from kerasood.training.loop import prepare, train
from kerasood.training.own_data import (
    check_classes,
    check_needed,
    check_size,
    checked_arrays,
    checked_outliers,
    checked_validation,
    first_images,
)
from kerasood.training.recipe import Recipe
from kerasood.training.trainers import objective_named
from kerasood.training.trainers.cross_entropy import by_name


class FineTuned(typing.NamedTuple):
    """Result of `fine_tune`.

    Args:
        network: keras.Model, the trained network.
        history: keras.callbacks.History, as of `keras.Model.fit`.
    """

    network: keras.Model
    history: keras.callbacks.History


def fine_tune(
    model: keras.Model, images: typing.Any, labels: typing.Any = None, objective: str = "sparsity",
    *, epochs: int = 10, batch_size: int = 128, learning_rate: float = 0.001,
    augmentation: typing.Any = "recipe", outliers: typing.Any = None,
    validation_data: typing.Any = None, callbacks: typing.Sequence[keras.callbacks.Callback] = (),
    verbose: typing.Any = "auto", seed: int = 1, preprocessing: typing.Any = None,
    **parameters: typing.Any,
) -> "FineTuned":
    """Fine-tunes a classifier so that its scores tell out-of-distribution images.

    By default as in the paper: Nesterov's SGD with momentum 0.9 and L2 decay 5e-4, a learning rate
    on a cosine from 0.001 to 1e-6, ten epochs of batch 128, random crops and mirroring. The model
    itself stays as it was: a copy is trained, unless the model cannot be rebuilt from its
    configuration; then it is trained in place, with a warning in the log.

    Args:
        model: keras.Model, images -> logits (N, K), or their softmax, whose logits are trained.
        images: (N, H, W, C) uint8; or with their labels a pair of arrays, a tf.data.Dataset,
            keras.utils.PyDataset, or a list or other iterable of batches that starts anew.
        labels: (N,) int or one-hot (N, K), as those of batches are; for an array of images.
        objective: str, a name of `kerasood.training.OBJECTIVES`.
        epochs: int > 0.
        batch_size: int > 0, of arrays; a data set has its own.
        learning_rate: float > 0, of the first step.
        augmentation: keras layer called as `augmentation(images, training=training)`, None, or
            "recipe": crops shifted by up to an eighth of the height, and mirrored.
        outliers: (M, H, W, C) as the images are, for the objectives that train on them.
        validation_data: as in `keras.Model.fit`, or a list of batches; its loss is the plain
            cross-entropy.
        callbacks, verbose: as in `keras.Model.fit`.
        seed: int >= 0, of order, augmentation and dropout.
        preprocessing: see `kerasood.build_extractor`; it becomes part of the trained network.
        **parameters: the objective's, such as `site="features"` and `weight=0.02` of "sparsity".

    Returns:
        FineTuned: (network, history).

    Raises:
        ValueError: an unknown objective or parameter, a model without logits, or data that do not
            fit it.
        TrainingDiverged: the loss became NaN or infinite.
    """
    check_positive(learning_rate=learning_rate)
    check_whole(1, epochs=epochs, batch_size=batch_size)
    check_whole(0, seed=seed)
    if not isinstance(model, keras.Model):
        raise InvalidInputError(f"Expected a keras.Model. Received: {type(model).__name__}")
    kind = objective_named(objective)
    settled = kind.settle(parameters)
    if labels is None and isinstance(images, tuple) and len(images) == 2:
        images, labels = images
    check_needed(kind, labels, outliers)
    keras.utils.set_random_seed(seed)
    recipe = Recipe(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    sample = first_images(images) if labels is None else checked_arrays(images, labels)
    outliers = checked_outliers(outliers, sample[0])
    if augmentation == "recipe":
        recipe = dataclasses.replace(recipe, crop=_crop_for(sample[0]))
        augmentation = recipe.augmentation(seed)
    model = with_preprocessing(model, preprocessing)
    check_size(model, sample[0])
    if sample[0].dtype == np.uint8:
        warn_of_raw_pixels(model)
    trainer = _new_trainer(kind, settled, model, sample, outliers, augmentation)
    data, trained = (images, _train_on_data) if labels is None else (sample, _train_on_arrays)
    history = trained(
        trainer, data, outliers, recipe, seed, epochs=epochs,
        validation_data=checked_validation(validation_data),
        callbacks=[StopOnNaN(), *callbacks], verbose=verbose,
    )
    return FineTuned(trainer.network, history)


def _crop_for(images):
    """Pixels by which images are shifted at most."""
    if images.ndim != 4:
        raise InvalidInputError(
            "Expected images (B, H, W, C) to crop at random; others train with "
            f"augmentation=None. Received: shape={images.shape}"
        )
    return images.shape[1] // 8


def _new_trainer(kind, settled, model, sample, outliers, augmentation):
    """A trainer of the objective around a copy of the model, checked on a few images."""
    network = kind.network_for(_copied(model), settled)
    settled |= kind.derive(settled, network, *sample, outliers)
    trainer = kind(network, augmentation=augmentation, **settled)
    trainer.labels_are_one_hot = True
    _train_logits(trainer, sample[0][:8])
    check_classes(trainer, *sample)
    return trainer


def _train_on_arrays(trainer, arrays, outliers, recipe, seed, **arguments):
    batches = Batches(*arrays, recipe.batch_size, seed, outliers, type(trainer))
    batches = prepare(trainer, batches, recipe)
    arguments["validation_batch_size"] = recipe.batch_size
    return train(trainer, batches, outliers, **arguments)


def _train_on_data(trainer, data, outliers, recipe, seed, **arguments):
    steps = num_batches(data) or sum(1 for _ in each_batch(data))
    images, _ = next(each_batch(data))
    count = trainer.outliers_per_image * len(images)
    paired = PairedBatches(data, outliers, count, seed, steps * len(images))
    trainer.begin_training(paired)
    trainer.compile(recipe.optimizer(steps))
    begin = BeginEpoch(trainer, paired, outliers)
    arguments["callbacks"] = [begin, *arguments["callbacks"]]
    # A list is several inputs of one model for Keras.
    if outliers is None and not isinstance(data, list):
        return trainer.fit(data, shuffle=False, **arguments)
    return trainer.fit(paired.batches(), steps_per_epoch=steps, shuffle=False, **arguments)


def _copied(model):
    """A copy of a model with weights of its own; the model where it cannot be rebuilt."""
    copied = rebuilt(model)
    if copied is None:
        log.warning(
            "%s cannot be rebuilt from its configuration: it is trained in place", model.name
        )
        return model
    return copied


def _train_logits(trainer, images):
    """Trains the logits of a model without a graph that returns their softmax."""
    network = trainer.network
    if has_graph(network):
        return
    outputs = by_name(network(images, training=False))["logits"]
    outputs = keras.ops.convert_to_numpy(outputs)
    if np.all(outputs >= 0) and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3):
        trainer._extractor = attached_extractor(network, image_shape=images.shape[1:])
