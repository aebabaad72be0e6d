"""The extractor of a model without a graph: it runs the model and records what its layers see."""

import keras
from keras import ops

from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import sublayers, traced_spec
from kerasood.extractor.head import linear
from kerasood.extractor.recording import recorded


@keras.saving.register_keras_serializable(package="kerasood")
class CapturingExtractor(keras.Model):
    """Features and logits of a model whose layers are called by Python code of its own.

    Made by `build_extractor`; the model's layers are shared and stay as they are.

    Args:
        network: keras.Model, images -> logits or probabilities (N, K).
        plan: dict of JSON values, which numbers of `sublayers(network)` do what: "image_shape",
            "dtype" that the network takes, "head", "head_call" (which of the head's calls),
            "features" (None: the input of the head), "hidden" {name: number} and "hidden_calls"
            {name: which of that layer's calls}, without which it is the last.

    Input: (N, *image_shape), integers or floats. Output: {"features": (N, D), "logits": (N, K),
    "hidden/NAME": (N, C)...} float32.
    """

    def __init__(self, network, plan, name=None):
        super().__init__(name=name or f"{network.name}_extractor", dtype="float32")
        self.network = network
        self._plan = _Plain(plan)
        self._layers_of = _Plain(sublayers(network))
        self._channels_first = channels_first(network)
        self.built = True

    @property
    def plan(self):
        return dict(self._plan.value)

    @property
    def inputs(self):
        """The images as a graph model shows them."""
        return [keras.KerasTensor((None, *self.plan["image_shape"]), dtype=self.plan["dtype"])]

    @property
    def head_layer(self):
        """The layer whose weights make the logits."""
        return self._layer(self.plan["head"])

    def build(self, images_shape=None):
        self.built = True

    def call(self, images, training=None):
        if not keras.backend.is_float_dtype(images.dtype):
            images = ops.cast(images, self.plan["dtype"])
        plan = self.plan
        hidden, positions = plan["hidden"], plan.get("hidden_calls", {})
        others = [*hidden.values()] + ([] if plan["features"] is None else [plan["features"]])
        listened = [self._layer(number) for number in (plan["head"], *others)]
        with recorded(listened) as calls:
            output = self.network(images, training=training)
        seen = self._vectors(self._call(calls, plan["head"], plan["head_call"], output).inputs)
        outputs = {"features": seen, "logits": linear(self.head_layer, seen)}
        if plan["features"] is not None:
            found = self._call(calls, plan["features"], -1, output)
            outputs["features"] = ops.cast(found.output, "float32")
        for name, number in hidden.items():
            found = self._call(calls, number, positions.get(name, -1), output)
            outputs[f"hidden/{name}"] = self._vectors(found.output)
        return outputs

    def with_network(self, network):
        """The same extractor around another model of the same layers."""
        numbers = {id(layer): number for number, layer in enumerate(sublayers(network))}
        plan = self.plan
        moved = {name: numbers[id(self._layer(n))] for name, n in plan["hidden"].items()}
        plan |= {"head": numbers[id(self.head_layer)], "hidden": moved}
        if plan["features"] is not None:
            plan["features"] = numbers[id(self._layer(plan["features"]))]
        return type(self)(network, plan, name=self.name)

    def _vectors(self, activations):
        return as_vectors(activations, self._channels_first)

    def _layer(self, number):
        return self._layers_of.value[number]

    def _call(self, calls, number, position, output):
        """One of the recorded calls of a layer, whose tensors belong to the caller's trace."""
        layer = self._layer(number)
        calls = [call for call in calls if call.layer is layer]
        if not -len(calls) <= position < len(calls):
            raise InvalidInputError(
                f"Expected the model to call its layer {layer.name!r}. Received: {len(calls)} "
                "calls; those inside a function that was compiled before are not seen"
            )
        call = calls[position]
        if graph_of(call.output) is not graph_of(output):
            raise InvalidInputError(
                f"Expected the model to call its layer {layer.name!r} outside of compiled "
                "functions and conditions of its own. Received: a tensor of another graph"
            )
        return call

    def compute_output_shape(self, images_shape):
        images = keras.KerasTensor(images_shape, dtype=self.plan["dtype"])
        outputs = traced_spec(self, images)  # the method of Layer would ask this one
        return {name: tuple(tensor.shape) for name, tensor in outputs.items()}

    def get_config(self):
        network = keras.saving.serialize_keras_object(self.network)
        return {"name": self.name, "network": network, "plan": self.plan}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        network = keras.saving.deserialize_keras_object(
            config["network"], custom_objects=custom_objects
        )
        return cls(network, config["plan"], name=config["name"])


class _Plain:
    """Holds a value that Keras should not track."""

    def __init__(self, value):
        self.value = value


def channels_first(network):
    """True where the layers of a model keep channels before height and width."""
    formats = {getattr(layer, "data_format", None) for layer in sublayers(network)} - {None}
    return "channels_first" in formats


def as_vectors(activations, channels_first=False):
    """Activations (N, ..., C) as float32 (N, C), averaged over what lies between."""
    activations = ops.cast(activations, "float32")
    rank = len(activations.shape)
    if rank == 2:
        return activations
    between = range(2, rank) if channels_first and rank == 4 else range(1, rank - 1)
    return ops.mean(activations, axis=tuple(between))


def graph_of(tensor):
    """The TensorFlow graph of a tensor that is being traced, or None."""
    return getattr(tensor, "graph", None)
