"""Any Keras classifier as a map from images to features and logits."""

import typing
import warnings
from collections.abc import Sequence

import keras
from keras import layers

from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import draws_at_inference, has_graph
from kerasood.extractor.affine import directions
from kerasood.extractor.capturing_extractor import CapturingExtractor
from kerasood.extractor.graph import (
    TensorInGraph,
    all_calls,
    find_layer,
    is_input,
    resolve,
    tensors_at,
)
from kerasood.extractor.graph_head import check_single, find_head
from kerasood.extractor.head import Head, LinearHead, is_softmax, weighted_layer, weights_of
from kerasood.extractor.precision import computes_in_float32, in_float32
from kerasood.extractor.preprocessing import warn_of_raw_pixels, with_preprocessing
from kerasood.extractor.recorded_head import ANSWERS_DIFFER, plan_capture
from kerasood.extractor.stages import LayerOutput, channels_last, height_of, last_of_stages

LESS_THAN_FLOAT32 = (
    "The model {!r} computes in less than float32 and cannot be rebuilt from its configuration: it "
    "is used as it is. Its scores are rounded, and another device may round them otherwise; fit, "
    "calibrate and serve on one kind of device, or give the model and its layers a get_config()."
)


def build_extractor(
    model: keras.Model,
    feature_layer: str | None = None,
    hidden_layers: typing.Any = (),
    head_layer: str | None = None,
    image_shape: tuple[int, int, int] | None = None,
    preprocessing: typing.Any = None,
) -> keras.Model:
    """Returns a model that gives features and logits in one forward pass, computed in float32.

    It shares the layers and weights of `model`, which stays as it is. Only of a model that computes
    in less than float32 it takes a copy that does not, so that detectors are fitted on the scores
    that an `OODModel` serves; what `model` learns later it does not follow. The logits come from
    the kernel and bias of the model's linear head, before any softmax, and are exact.

    Args:
        model: keras.Model with one input and one (N, K) output of logits or softmax probabilities:
            Functional, Sequential or subclassed, nested or not. A model without a graph (with a
            `call` of its own) is run on a few random images to find its head.
        feature_layer: str, name of the layer whose (N, D) output is the features, "outer/inner" in
            a nested model; by default the input of the head.
        hidden_layers: names of more layers, whose activations, averaged over the image, become
            further outputs; "auto" takes the last layer of each stage before the downsampling.
        head_layer: str, for a model without a graph: name or attribute path of the head, where it
            cannot be told.
        image_shape: (H, W, C), for a model without a graph that takes other sizes than it was
            built with; None for any height or width.
        preprocessing: what pixels 0-255 go through first, for a model that was trained on other
            values: "scale_0_1", "scale_-1_1", "imagenet_torch", "imagenet_caffe", "none", a layer,
            a function of keras.ops, or a Preprocessing, which also says how photographs were
            resized. It becomes part of the extractor.

    Returns:
        keras.Model: images -> {"features": (N, D), "logits": (N, K), "hidden/NAME": (N, C)...}
        float32; a Functional where `model` is a graph, else a CapturingExtractor.

    Raises:
        ValueError: no keras.Model, more inputs or outputs, logits that are no affine map of
            anything (a sigmoid of several labels, a ReLU after the head), random numbers at
            inference, an unknown layer, or features that are no vectors.

    Warns:
        UserWarning: the model computes in less than float32 and cannot be rebuilt; or no layer
            rescales pixels before its first weights and no preprocessing was given.
    """
    given = model
    if isinstance(model, keras.Model):
        _check_answers_alike(model)
        given = model = with_preprocessing(model, preprocessing, image_shape)
        model = in_float32(model)
        if not computes_in_float32(model):
            warnings.warn(LESS_THAN_FLOAT32.format(model.name), stacklevel=2)
    extractor = attached_extractor(model, feature_layer, hidden_layers, head_layer, image_shape)
    if preprocessing is None:
        warn_of_raw_pixels(given)
    return extractor


def attached_extractor(
    model: keras.Model, feature_layer: str | None = None, hidden_layers: Sequence[str] = (),
    head_layer: str | None = None, image_shape: tuple | None = None,
) -> keras.Model:
    """As `build_extractor`, of the very layers of `model` and in their precision: for training."""
    if not isinstance(model, keras.Model):
        raise InvalidInputError(f"Expected a keras.Model. Received: {type(model).__name__}")
    if isinstance(hidden_layers, str) and hidden_layers != "auto":
        raise InvalidInputError(f"Expected a list of names, or 'auto'. Received: {hidden_layers=}")
    head = find_head(model) if has_graph(model) and head_layer is None else None
    if head is not None:
        return _graph_extractor(model, head, feature_layer, hidden_layers)
    if has_graph(model):
        check_single(model)
        image_shape = image_shape or model.inputs[0].shape[1:]
    plan = plan_capture(model, image_shape, head_layer, feature_layer, hidden_layers)
    return CapturingExtractor(model, plan)


def build_full_extractor(model: keras.Model, preprocessing: typing.Any = None) -> keras.Model:
    """The extractor with all that detectors read: hidden layers too, where they can be found."""
    try:
        return build_extractor(model, hidden_layers="auto", preprocessing=preprocessing)
    except ValueError:
        return build_extractor(model, preprocessing=preprocessing)


def is_extractor(model: keras.Model) -> bool:
    """True for a model that returns features and logits by name, as of `build_extractor`."""
    if isinstance(model, CapturingExtractor):
        return True
    if not has_graph(model) or not isinstance(getattr(model, "output", None), dict):
        return False
    # One output, whatever its name, is that of a classifier.
    return len(model.output) > 1


def check_logits(extractor):
    """Raises ValueError where the output "logits" of an extractor are probabilities."""
    if has_graph(extractor):
        logits = resolve(extractor, TensorInGraph((), extractor.output["logits"]))
        if is_input(extractor, logits):
            return
        operation = logits.call.operation
        activation = getattr(operation, "activation", None)
        if is_softmax(activation) or type(operation).__name__ in ("Softmax", "LogSoftmax"):
            raise InvalidInputError(
                "Expected logits in the output 'logits'. Received: the softmax of layer "
                f"{operation.name!r} in model={extractor.name!r}"
            )


def output_names(extractor: keras.Model) -> list[str]:
    """The names of an extractor's outputs, sorted."""
    return sorted(extractor.compute_output_shape(extractor.inputs[0].shape))


def head_layer(model: keras.Model) -> keras.Layer:
    """The layer whose kernel and bias make the logits of a model or extractor.

    Raises:
        ValueError: as `build_extractor`.
    """
    if isinstance(model, CapturingExtractor):
        return model.head_layer
    found = find_head(model, _logits(model)) if has_graph(model) else None
    if found is None:
        return attached_extractor(model).head_layer
    return weighted_layer(found.layer)


def head_of(model: keras.Model) -> typing.Any:
    """The weights that turn the features of an extractor into its logits.

    Args:
        model: extractor, or a model that `build_extractor` takes as it is.

    Returns:
        Head, with head.logits(features) == logits up to float32 rounding.

    Raises:
        ValueError: the extractor's features are those of another layer.
    """
    found = None
    if isinstance(model, CapturingExtractor):
        if model.plan["features"] is not None:
            raise InvalidInputError(_other_features(model))
    elif has_graph(model) and is_extractor(model):
        found = find_head(model, _logits(model))
        features = model.output.get("features")
        if found is None or features is None or not _are_seen_by(model, features, found):
            raise InvalidInputError(_other_features(model))
    elif has_graph(model):
        found = find_head(model)
    if found is not None and found.tail is not None:
        return Head(*found.tail.weights)
    return weights_of(head_layer(model))


def _check_answers_alike(model):
    calls = all_calls(model) if has_graph(model) else ()
    for name, located in calls:
        if draws_at_inference(located.call):
            raise InvalidInputError(ANSWERS_DIFFER.format(f"{name!r} in model={model.name!r}"))


def _graph_extractor(model, head, feature_layer, hidden_layers):
    all_located = {"head": head.inputs, "output": TensorInGraph((), model.outputs[0])}
    if head.tail is not None:
        all_located["output"] = head.tail.logits
    if feature_layer is not None:
        all_located["features"] = find_layer(model, feature_layer)
    hidden = _hidden_places(model, hidden_layers)
    found = tensors_at(model, [*all_located.values(), *hidden.values()])
    tensors = dict(zip([*all_located, *hidden], found, strict=True))
    logits = tensors["output"]
    data_format = getattr(head.layer, "data_format", "channels_last")
    seen = _vectors(tensors["head"], "head_input", data_format)
    if head.tail is not None:
        logits = _vectors(logits, "logits")
        seen = directions(seen) if head.tail.of_directions else seen
    elif not head.plain:
        logits = LinearHead(head.layer, name="kerasood_logits")(seen)
    outputs = {"features": seen, "logits": logits}
    if feature_layer is not None:
        shape = tensors["features"].shape
        if len(shape) != 2:
            raise InvalidInputError(f"Expected features of shape (N, D). Received: shape={shape}")
        outputs["features"] = _vectors(tensors["features"], "features")
    for number, (name, located) in enumerate(hidden.items()):
        layout = _data_format(model, located)
        outputs[f"hidden/{name}"] = _vectors(tensors[name], f"hidden_{number}", layout)
    return keras.Model(model.inputs[0], outputs, name=f"{model.name}_extractor")


def _hidden_places(model, names):
    if names != "auto":
        return {name: find_layer(model, name) for name in names}
    size = height_of(model.inputs[0].shape)
    if not size:
        raise InvalidInputError(
            "Expected images of a fixed size to find hidden layers, or their names. Received: "
            f"shape={model.inputs[0].shape}"
        )
    outputs = [
        LayerOutput(
            name,
            channels_last(located.tensor.shape, _data_format(model, located) == "channels_first"),
            located.call.operation,
            located,
        )
        for name, located in all_calls(model)
        if not has_graph(located.call.operation)
    ]
    return {one.name: one.located for one in last_of_stages(outputs, size)}


def _data_format(model, located):
    """Place of the channels of an activation: as in the nearest layer before it that says so."""
    while not is_input(model, located):
        found = getattr(located.call.operation, "data_format", None)
        if found is not None:
            return found
        located = resolve(model, TensorInGraph(located.calls, located.call.input_tensors[0]))
    return "channels_last"


def _vectors(tensor, name, data_format=None):
    """A tensor (N, ..., C) as float32 (N, C), averaged over what lies between."""
    arguments = {"dtype": "float32", "name": f"kerasood_{name}"}
    rank = len(tensor.shape)
    if rank == 2:
        return tensor if tensor.dtype == "float32" else layers.Identity(**arguments)(tensor)
    pooling = {
        3: layers.GlobalAveragePooling1D,
        4: layers.GlobalAveragePooling2D,
        5: layers.GlobalAveragePooling3D,
    }
    if rank not in pooling:
        raise InvalidInputError(f"Expected activations (N, ..., C). Received: shape={tensor.shape}")
    return pooling[rank](data_format=data_format, **arguments)(tensor)


def _are_seen_by(model, features, head):
    """True where the features of an extractor are what its head takes."""
    located = resolve(model, TensorInGraph((), features))
    if head.tail is not None and head.tail.of_directions:
        located = resolve(model, TensorInGraph(located.calls, located.call.input_tensors[0]))
    return located.tensor is head.inputs.tensor


def _logits(model):
    return model.output.get("logits") if is_extractor(model) else None


def _other_features(model):
    return (
        "Expected an extractor whose features are the input of the model's head. Received: "
        f"extractor={model.name!r} with the features of another layer"
    )
