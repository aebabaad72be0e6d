"""Training by cross-entropy: a Keras model around the network, base of every objective."""

import typing

import keras
import numpy as np
from keras import ops

from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import all_layers, has_graph
from kerasood.extractor.build import attached_extractor, is_extractor
from kerasood.extractor.graph_head import find_head, output_operation
from kerasood.extractor.head import num_units
from kerasood.logs import log
from kerasood.training import objectives
from kerasood.training.batches import num_batches
from kerasood.training.optimizers import NesterovSGD
from kerasood.training.parameters import Described
from kerasood.training.recipe import Recipe


class CrossEntropyTraining(Described, keras.Model):
    """Trains a classifier by cross-entropy; base of the other objectives and their control.

    The network stays a model of its own: train this one, then use, save and export `network`.
    Logs `ce`, `accuracy` and the mean `energy` beside `loss`. In validation the loss is the
    cross-entropy alone, so that `val_loss` compares across objectives.

    An objective of one's own overrides what it needs of these hooks, and says in the attributes of
    `Described` what it is: `network_for`, the network with more outputs; `begin_training` and
    `begin_epoch`, what happens before and between epochs; `mix`, the images that pass the network
    together; `training_loss` or `penalty`, what training minimises; `own_optimizers`, variables
    that another rule updates.

    Args:
        network: keras.Model, images -> logits (N, K) or their softmax, whose logits are then
            trained; any class, it is called and not changed. Or one of several outputs,
            {"logits": (N, K), ...}, as `network_for` makes them.
        augmentation: keras layer called as `augmentation(images, training=training)`, or None.

    Raises:
        ValueError: the network returns something else, such as a sigmoid's probabilities.
    """

    objective = "ce"
    formula = "ce"

    def __init__(self, network, augmentation=None, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.augmentation = augmentation
        self._extractor = None if is_extractor(network) else _extractor_of_logits(network)
        # Of rows that are not, as label smoothing makes them, a class would be invented.
        self.labels_are_one_hot = False
        self._arguments_of_compile = None
        self._of_training = set()
        self._metrics_by_name = {
            "ce": keras.metrics.Mean(name="ce"),
            "accuracy": keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            "energy": keras.metrics.Mean(name="energy"),
        }

    def begin_training(self, batches: typing.Any) -> None:
        """Looks at the data before the first epoch, and before a checkpoint is read.

        Args:
            batches: Batches, whose `images`, `labels`, `outliers` and `seed` are those of the
                training; for Keras data, which are no arrays, PairedBatches.
        """

    def begin_epoch(self, epoch: int, outliers: typing.Any) -> typing.Any:
        """Prepares an epoch, with the weights that the epoch before left.

        Args:
            epoch: int, counted from 0.
            outliers: (M, H, W, C) or None.

        Returns:
            int rows of the outliers that the epoch shall train on, or None for all.
        """

    def mix(self, inputs: typing.Any) -> typing.Any:
        """The images of a training batch that pass augmentation and network together."""
        return inputs

    def call(self, inputs, training=None):
        images = self.mix(inputs) if training else inputs
        if self.augmentation is not None:
            images = self.augmentation(images, training=training)
        if training:
            images = self.perturbed(images, inputs)
        return self.outputs_of(images, training)

    def perturbed(self, images: typing.Any, inputs: typing.Any) -> typing.Any:
        """The images of a training batch after augmentation, as they pass the network."""
        return images

    def outputs_of(self, images: typing.Any, training: bool | None) -> dict[str, typing.Any]:
        """Outputs that the objective needs of the network: {"logits": (N, K)} at least."""
        return by_name((self._extractor or self.network)(images, training=training))

    def read_features(self) -> None:
        """Makes "features" (N, D) one of the outputs."""
        if self._extractor is None and not is_extractor(self.network):
            self._extractor = attached_extractor(self.network)

    def outputs_between_epochs(
        self, images: typing.Any, batch_size: int = 250,
    ) -> dict[str, np.ndarray]:
        """Outputs for images that are not augmented, with the weights as they are now.

        Args:
            images: (N, H, W, C).
            batch_size: int > 0.

        Returns:
            {"logits": (N, K), ...}, arrays.
        """
        model = self._extractor or self.network
        parts = [
            by_name(model.predict_on_batch(images[start : start + batch_size]))
            for start in range(0, len(images), batch_size)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def training_loss(
        self, labels: typing.Any, ce: typing.Any, outputs: dict[str, typing.Any],
    ) -> typing.Any:
        """Loss that training minimises, a scalar: the mean of `ce` (N,) and a penalty."""
        return ops.mean(ce) + self.penalty(outputs)

    def penalty(self, outputs: dict[str, typing.Any]) -> typing.Any:
        """Penalty that the objective adds to the cross-entropy in training, a scalar."""
        return 0.0

    def own_optimizers(self, optimizer: NesterovSGD) -> list[tuple]:
        """Variables that another rule than the recipe's updates.

        Args:
            optimizer: NesterovSGD of the recipe.

        Returns:
            list of (list of variables, keras.optimizers.Optimizer).
        """
        return []

    def setting(self, value: float, name: str) -> keras.Variable:
        """A number of the objective as a variable, float32 ().

        As a constant it would be part of the compiled step, which then serves this value alone.
        """
        return self.add_weight(
            (), keras.initializers.Constant(value), trainable=False, autocast=False, name=name
        )

    def log_mean(self, name: str, values: typing.Any = None, in_validation: bool = True) -> None:
        """Logs the mean of `values` under a name; without values it makes the name known.

        Where it has no value in validation, it is left out there: Keras would report 0.
        """
        if not in_validation:
            self._of_training.add(name)
        if name not in self._metrics_by_name:
            self._metrics_by_name[name] = keras.metrics.Mean(name=name)
        if values is not None:
            self._metrics_by_name[name].update_state(values)

    def compile(self, optimizer=None, auto_scale_loss=True, **arguments):
        """As `keras.Model.compile`; without an optimiser `fit` follows the paper's recipe.

        That is Nesterov's SGD with L2 decay, its learning rate on a cosine over the steps of a
        `fit`. Losses of networks that compute in float16 are scaled.
        """
        self._arguments_of_compile = None
        if optimizer is None:
            self._arguments_of_compile = {"auto_scale_loss": auto_scale_loss, **arguments}
            optimizer = Recipe().optimizer()
        optimizer = keras.optimizers.get(optimizer)
        if isinstance(optimizer, NesterovSGD):
            for variables, own in self.own_optimizers(optimizer):
                optimizer.leave(variables, own)
        elif type(self).own_optimizers is not CrossEntropyTraining.own_optimizers:
            log.warning(
                "objective %s leaves some variables to rules of their own, which %s does not know: "
                "it trains all of them alike; compile() takes the recipe's optimizer",
                self.objective, type(optimizer).__name__,
            )
        if auto_scale_loss and _computes_in_float16(self.network):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        super().compile(optimizer, auto_scale_loss=auto_scale_loss, **arguments)

    def fit(self, x=None, y=None, batch_size=None, epochs=1, steps_per_epoch=None, **arguments):
        if self._arguments_of_compile is not None:
            ours = self._arguments_of_compile
            steps = steps_per_epoch or num_batches(x, batch_size or 32)
            self.compile(Recipe(epochs=epochs).optimizer(steps), **ours)
            self._arguments_of_compile = ours
        return super().fit(
            x, y, batch_size, epochs, steps_per_epoch=steps_per_epoch, **arguments
        )

    def evaluate(self, *arguments, **keywords):
        logs = super().evaluate(*arguments, **keywords)
        if isinstance(logs, dict):
            logs = {name: value for name, value in logs.items() if name not in self._of_training}
        return logs

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if sample_weight is not None:
            raise InvalidInputError(
                "Expected (images, labels) batches. Received: a sample_weight as well"
            )
        if len(y.shape) == 2 and y.shape[-1] == 1:
            y = ops.squeeze(y, -1)
        elif len(y.shape) == 2 and self.labels_are_one_hot:
            y = ops.argmax(y, axis=-1)
        outputs = {name: _in_float32(values) for name, values in y_pred.items()}
        logits = outputs["logits"]
        ce = objectives.cross_entropy(y, logits)
        self._metrics_by_name["ce"].update_state(ce)
        self._metrics_by_name["accuracy"].update_state(y, logits)
        self._metrics_by_name["energy"].update_state(objectives.energy(logits))
        # In validation for what it logs; outliers are then missing.
        loss = self.training_loss(y, ce, outputs)
        return loss if training else ops.mean(ce)

    def train_step(self, *arguments):
        """One step on (images, labels): Keras's own around `compute_loss`, on every backend."""
        *state, batch = arguments
        images, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        if labels is None:
            raise InvalidInputError("Expected (images, labels) batches. Received: no labels")
        batch = (images, labels) if sample_weight is None else (images, labels, sample_weight)
        return super().train_step(*state, batch)


def by_name(outputs: typing.Any) -> dict[str, typing.Any]:
    """Outputs of a network as {"logits": (N, K), ...}: one output is the logits, of any name.

    Raises:
        ValueError: several outputs, none of them "logits".
    """
    if not isinstance(outputs, dict):
        return {"logits": outputs}
    if len(outputs) == 1:
        return {"logits": next(iter(outputs.values()))}
    if "logits" not in outputs:
        raise InvalidInputError(
            'Expected one output, or several of which one is "logits". Received: '
            + ", ".join(outputs)
        )
    return outputs


def _extractor_of_logits(network):
    """Extractor of the logits of a network that returns their softmax, or one value; else None.

    Raises:
        ValueError: its output is no linear map of anything, nor the softmax of one.
    """
    if not has_graph(network):
        return None
    try:
        head = find_head(network)
    except InvalidInputError:
        head = None
    if head is not None and (head.softmax or num_units(head.layer) == 1):
        return attached_extractor(network)
    output_operation(network)
    return None


def _in_float32(values):
    is_float = keras.backend.standardize_dtype(values.dtype).startswith(("float", "bfloat"))
    return ops.cast(values, "float32") if is_float else values


def _computes_in_float16(network):
    return any(layer.compute_dtype == "float16" for layer in all_layers(network))
