"""Training by cross-entropy: a Keras model around the network, base of every objective."""

import keras
from keras import ops

from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import has_graph
from kerasood.extractor.graph_head import output_operation
from kerasood.training import objectives


class CrossEntropyTraining(keras.Model):
    """Trains a classifier by cross-entropy; base of the other objectives and their control.

    The network stays a model of its own: train this one, then use, save and export `network`.
    Logs `ce`, `accuracy` and the mean `energy` beside `loss`. In validation the loss is the
    cross-entropy alone, so that `val_loss` compares across objectives.

    Args:
        network: keras.Model, images -> logits (N, K); any class, it is called and not changed.
        augmentation: keras layer called as `augmentation(images, training=training)`, or None.

    Raises:
        ValueError: the network returns probabilities.
    """

    def __init__(self, network, augmentation=None, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.augmentation = augmentation
        if has_graph(network):
            output_operation(network)
        self._metrics_by_name = {
            "ce": keras.metrics.Mean(name="ce"),
            "accuracy": keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            "energy": keras.metrics.Mean(name="energy"),
        }

    def call(self, images, training=None):
        if self.augmentation is not None:
            images = self.augmentation(images, training=training)
        return self.outputs_of(images, training)

    def setting(self, value, name):
        """A number of the objective as a variable, float32 ().

        As a constant it would be part of the compiled step, which then serves this value alone.
        """
        return self.add_weight(
            (), keras.initializers.Constant(value), trainable=False, autocast=False, name=name
        )

    def outputs_of(self, images, training):
        """What the objective needs of the network: {"logits": (N, K)} at least."""
        return {"logits": self.network(images, training=training)}

    def training_loss(self, labels, ce, outputs):
        """What training minimises, a scalar: the mean of `ce` (N,) and a penalty."""
        return ops.mean(ce) + self.penalty(outputs)

    def penalty(self, outputs):
        """What the objective adds to the cross-entropy in training, a scalar."""
        return 0.0

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if sample_weight is not None:
            raise InvalidInputError(
                "Expected (images, labels) batches. Received: a sample_weight as well"
            )
        logits = ops.cast(y_pred["logits"], "float32")
        ce = objectives.cross_entropy(y, logits)
        self._metrics_by_name["ce"].update_state(ce)
        self._metrics_by_name["accuracy"].update_state(y, logits)
        self._metrics_by_name["energy"].update_state(objectives.energy(logits))
        loss = self.training_loss(y, ce, y_pred)
        return loss if training else ops.mean(ce)

    if keras.backend.backend() == "tensorflow":

        def train_step(self, data):
            """One step on (images, labels); other backends run Keras's own around compute_loss."""
            import tensorflow as tf

            images, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
            with tf.GradientTape() as tape:
                outputs = self(images, training=True)
                loss = self.compute_loss(images, labels, outputs, sample_weight, training=True)
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply(gradients, self.trainable_weights)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss, sample_weight=tf.shape(labels)[0])
            return self.get_metrics_result()
