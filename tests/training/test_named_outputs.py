"""Models whose outputs have names: one is the logits under any name, several need "logits"."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from tiny_models import random_images

import kerasood
from kerasood.errors import InvalidInputError
from kerasood.training.config import stage_config, train_config
from kerasood.training.initial_network import network_of
from kerasood.training.loop import build_trainer

IMAGES = random_images((8, 8, 3), 24)
LABELS = np.arange(24) % 4


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = layers.Dense(4)

    def call(self, images):
        images = keras.ops.cast(images, "float32") / 255
        return {"cls": self.head(keras.ops.reshape(images, (-1, 192)))}


def network(*names, activation=None):
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3))
    features = layers.Dense(6, "relu")(layers.Flatten()(layers.Rescaling(1 / 255)(images)))
    outputs = {name: layers.Dense(4, activation)(features) for name in names}
    return keras.Model(images, outputs or layers.Dense(4, activation)(features))


def fine_tune(model, objective="ce", **values):
    usual = {"epochs": 1, "batch_size": 16, "verbose": 0, "augmentation": None}
    return kerasood.fine_tune(model, IMAGES, LABELS, objective, **usual, **values)


@pytest.mark.parametrize(
    ("objective", "values"),
    [
        ("ce", {}),
        ("sparsity", {"site": "features"}),
        ("oecc", {"outliers": IMAGES // 2}),
        ("confident_gan", {}),
    ],
)
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_one_output_is_the_logits_whatever_its_name(objective, values, activation):
    named, plain = (
        fine_tune(network(*names, activation=activation), objective, **values)
        for names in (["cls"], [])
    )
    assert named.history.history == plain.history.history
    for ours, theirs in zip(named.network.get_weights(), plain.network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert set(named.network(IMAGES)) == {"cls"}


def test_a_subclassed_models_one_output_has_any_name():
    model = Subclassed()
    model(IMAGES)
    assert np.isfinite(fine_tune(model).history.history["loss"]).all()


def test_several_outputs_without_logits_are_refused():
    with pytest.raises(InvalidInputError, match='which one is "logits". Received: a, b'):
        fine_tune(network("a", "b"))


def test_a_base_may_name_its_one_output(tmp_path):
    data = SimpleNamespace(training=(IMAGES, LABELS), num_classes=4)

    def base(*names):
        network(*names).save(tmp_path / "base.keras")
        stage = stage_config(train_config(precision="float32"), "finetune", tmp_path / "base.keras")
        return build_trainer(network_of(stage, data), stage)

    assert set(base("cls")(IMAGES)) == {"logits"}
    with pytest.raises(InvalidInputError, match=r"Expected (a model from images|one output)"):
        base("a", "b")
