"""A step on the image against the gradient of a loss of the model's outputs."""

import keras
from keras import ops

from kerasood.errors import InvalidInputError
from kerasood.extractor._keras import has_graph, own_graph, sublayers
from kerasood.extractor.capturing_extractor import CapturingExtractor
from kerasood.extractor.graph import TensorInGraph, all_calls, is_float, tensors_at

PIXEL_RANGE = 255.0


class InputSign(keras.Model):
    """The sign of the gradient of a loss with respect to the pixels; zero counts as positive.

    Args:
        extractor: keras.Model, images -> {"features": (N, D), "logits": (N, K)}.
        loss: function of these outputs, (N,) float32.

    Input: images (N, H, W, C), pixels 0-255. Output: float32 (N, H, W, C), 1 or -1.
    """

    def __init__(self, extractor, loss):
        super().__init__(dtype="float32")
        self.on_pixels = with_float_input(extractor)
        self.loss = loss
        self.built = True

    def call(self, images, training=None):
        gradient = gradient_of(self._loss_of, ops.cast(images, "float32"))
        return ops.where(gradient >= 0, 1.0, -1.0)

    def _loss_of(self, pixels):
        return ops.sum(self.loss(self.on_pixels(pixels, training=False)))


class SteppedExtractor(keras.Model):
    """The outputs of an extractor for images that took a step against a gradient first.

    Args:
        extractor: keras.Model, images -> {"features": (N, D), "logits": (N, K)}.
        loss: function of these outputs, (N,) float32, that the step lowers.
        step: float, share of the pixel range 0-255 by which every pixel moves.

    Input and output: those of the extractor.
    """

    def __init__(self, extractor, loss, step):
        super().__init__(dtype="float32")
        self.sign = InputSign(extractor, loss)
        self.step = step
        self.built = True

    def call(self, images, training=None):
        pixels = stepped(ops.cast(images, "float32"), self.sign(images), self.step)
        return self.sign.on_pixels(pixels, training=False)


def stepped(pixels, sign, step):
    """Pixels (N, H, W, C), 0-255, after a step against the sign of a gradient; not clipped."""
    return pixels - PIXEL_RANGE * step * sign


def gradient_of(function, pixels):
    """Gradient of a scalar function with respect to pixels (N, H, W, C) float32: the same shape.

    Raises:
        InvalidInputError: none reaches the pixels, as behind an integer cast or an embedding.
    """
    gradient = _gradient(function, pixels)
    if gradient is None:
        raise InvalidInputError(
            "Expected a model through which a gradient reaches the pixels, for a step on the "
            "image. Received: one that rounds, casts or looks them up"
        )
    return gradient


def _gradient(function, pixels):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(pixels)
            value = function(pixels)
        return tape.gradient(value, pixels)
    if backend == "jax":
        import jax

        return jax.grad(function)(pixels)
    if backend == "torch":
        import torch

        # Also where Keras predicts, which it does without gradients.
        with torch.enable_grad():
            pixels = pixels.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(function(pixels), pixels, allow_unused=True)
        return gradient
    raise InvalidInputError(
        f"Expected the backend tensorflow, jax or torch. Received: {backend}"
    )


def with_float_input(extractor: keras.Model) -> keras.Model:
    """The same function on float pixels 0-255, to be differentiated with respect to them.

    A graph casts what it gets to the dtype of its input, and a cast to uint8 has no gradient.

    Args:
        extractor: keras.Model, as `build_extractor` returns it or any other graph.

    Returns:
        keras.Model on float32 pixels with the same layers, not copies; `extractor` itself where
        floats go all the way.

    Raises:
        ValueError: the layers are called in a way that no graph shows and cast to integers.
    """
    if isinstance(extractor, CapturingExtractor):
        return _capturing_with_float_input(extractor)
    if not has_graph(extractor):
        raise InvalidInputError(f"Expected an extractor. Received: {type(extractor).__name__}")
    images = extractor.inputs[0]
    if not is_float(images) or _casts(extractor):
        pixels = keras.Input(batch_shape=images.shape, dtype="float32", name=images.name)
        all_located = [TensorInGraph((), tensor) for tensor in extractor.outputs]
        tensors = tensors_at(extractor, all_located, [pixels])
        structure = own_graph(extractor).output
        outputs = keras.tree.pack_sequence_as(structure, tensors)
        extractor = keras.Model(pixels, outputs, name=extractor.name)
    _check_floats(extractor)
    return extractor


def _capturing_with_float_input(extractor):
    network = extractor.network
    if extractor.plan["dtype"] != "float32":
        raise InvalidInputError(
            f"Expected a model of float pixels. Received: model={network.name!r}"
        )
    if not has_graph(network):
        _check_floats(network)
        return extractor
    on_floats = with_float_input(network)
    return extractor if on_floats is network else extractor.with_network(on_floats)


def _check_floats(model):
    graphs = [layer for layer in sublayers(model) if has_graph(layer)]
    casting = [graph.name for graph in graphs if not all(map(is_float, graph.inputs))]
    if casting:
        raise InvalidInputError(
            "Expected layers that take float pixels. Received: layers that cast to integers and "
            f"that no graph reaches: {', '.join(casting)} in model={model.name!r}"
        )


def _casts(model):
    """True where a nested model casts floats to integers."""
    return any(
        is_float(given) and not is_float(own)
        for _, located in all_calls(model)
        if has_graph(located.call.operation)
        for given, own in zip(
            located.call.input_tensors, located.call.operation.inputs, strict=False
        )
    )
