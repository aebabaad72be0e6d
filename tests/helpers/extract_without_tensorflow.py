"""Extractors on a backend where TensorFlow cannot be imported; prints numbers as JSON.

Run by test_extractor_backends.py in a process of its own.
"""

import json
import sys

sys.modules["tensorflow"] = None

import keras  # noqa: E402
import numpy as np  # noqa: E402
from classifiers import Subclassed, built, functional  # noqa: E402
from keras import layers  # noqa: E402
from keras.ops import convert_to_numpy as to_numpy  # noqa: E402

from kerasood.detectors import ODIN  # noqa: E402
from kerasood.evaluation.outputs import collect  # noqa: E402
from kerasood.extractor import build_extractor, head_of, with_float_input  # noqa: E402
from kerasood.extractor.input_gradient import SteppedExtractor  # noqa: E402
from kerasood.networks import zoo  # noqa: E402
from kerasood.networks.augmentation import Standardize  # noqa: E402

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("uint8")


def compiled(function):
    """By JAX's compiler; as it is on PyTorch."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def gradient_of(function, pixels):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(jax.grad(function))(pixels)
    import torch

    pixels = torch.tensor(pixels, requires_grad=True)
    return torch.autograd.grad(function(pixels), pixels)[0]


def nested():
    inside = functional(
        Standardize(),
        layers.Conv2D(4, 3, activation="tanh", name="conv"),
        layers.Flatten(),
        name="inside",
    )
    return functional(inside, layers.Dense(4, "softmax", bias_initializer="uniform"))


def report(network, shape):
    """Logits in every way to run the extractor, what they should be, and a pixel's gradient."""
    extractor = build_extractor(network, hidden_layers=["conv"])
    outputs = {name: to_numpy(value) for name, value in extractor(IMAGES).items()}
    on_pixels = with_float_input(extractor)

    def one_logit(pixels):
        return on_pixels(pixels)["logits"][0, 1]

    stepping = SteppedExtractor(extractor, ODIN().input_loss, 0.02)
    pixels = IMAGES[:1].astype("float32")
    step = np.zeros((1, *shape), "float32")
    step[0, 2, 3, 1] = 1
    gradient = gradient_of(one_logit, pixels)
    return {
        "twin": head_of(extractor).logits(outputs["features"].astype("float64")).tolist(),
        "eager": outputs["logits"].tolist(),
        "predict_on_batch": np.asarray(extractor.predict_on_batch(IMAGES)["logits"]).tolist(),
        "jit": to_numpy(compiled(lambda images: extractor(images)["logits"])(IMAGES)).tolist(),
        "collect": collect(extractor, [IMAGES])["logits"].tolist(),
        "stepped": to_numpy(stepping(IMAGES)["logits"]).tolist(),
        "stepped_collect": collect(stepping, [IMAGES])["logits"].tolist(),
        "answers": to_numpy(network(IMAGES)).tolist(),
        "hidden": outputs["hidden/conv"].shape,
        "gradient": float(gradient[0, 2, 3, 1]),
        "difference": float(one_logit(pixels + step) - one_logit(pixels - step)) / 2,
        "untouched": all("call" not in vars(layer) for layer in network._flatten_layers()),
    }


def main():
    keras.utils.set_random_seed(0)
    networks = {"nested": nested(), "subclassed": built(Subclassed("softmax", "tanh"))}
    reports = {name: report(network, (8, 8, 3)) for name, network in networks.items()}
    pixels = np.resize(IMAGES, (2, 32, 32, 3))
    reports["zoo"] = to_numpy(compiled(zoo.load("cifar10-wrn10-1-base"))(pixels)).tolist()
    print(json.dumps({"backend": keras.backend.backend(), **reports}))


if __name__ == "__main__":
    main()
