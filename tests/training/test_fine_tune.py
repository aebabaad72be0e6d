"""`fine_tune`: any model, any data, any objective, in one call."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tiny_models import random_images

import kerasood
from kerasood.training import OBJECTIVES, register_objective
from kerasood.training.trainers import CrossEntropyTraining

IMAGES = random_images((16, 16, 3), 24)
LABELS = np.arange(24) % 4


class InPlace(keras.Model):
    def __init__(self, width):
        super().__init__(name="mine")
        self.flatten = layers.Flatten()
        self.head = layers.Dense(width, activation="softmax")

    def call(self, images, training=None):
        return self.head(self.flatten(keras.ops.cast(images, "float32") / 255))


def network(activation=None):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),
            layers.Dense(4, activation=activation),
        ]
    )


def fine_tune(model, *data, **values):
    usual = {"epochs": 2, "batch_size": 16, "verbose": 0, "augmentation": None}
    return kerasood.fine_tune(model, *data, **{**usual, **values})


def assert_same(first, second, tolerance=0):
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_a_copy_is_trained_by_the_recipe_and_comes_with_its_history():
    model = network()
    before = model.get_weights()
    tuned, history = fine_tune(model, IMAGES, LABELS, validation_data=(IMAGES, LABELS))
    assert_same(model.get_weights(), before)
    assert np.any(tuned.get_weights()[0] != before[0])
    logs = history.history
    assert [len(values) for values in logs.values()] == [2] * len(logs)
    for loss, ce, l1 in zip(logs["loss"], logs["ce"], logs["l1"], strict=True):
        assert loss == pytest.approx(ce + 0.01 * l1, rel=1e-5) and l1 > 0
    assert float(history.model.optimizer.learning_rate) == pytest.approx(1e-6, rel=1e-3)
    one_hot = np.eye(4)[LABELS]
    assert_same(tuned.get_weights(), fine_tune(model, IMAGES, one_hot)[0].get_weights())
    assert_same(tuned.get_weights(), fine_tune(model, (IMAGES, LABELS))[0].get_weights())


def test_a_softmax_model_ends_where_its_logits_do():
    ours, theirs = (
        fine_tune(network(kind), IMAGES, LABELS, site="features")[0] for kind in ("softmax", None)
    )
    assert_same(ours.get_weights(), theirs.get_weights(), 1e-5)


def test_keras_data_train_as_their_arrays_do():
    tf = pytest.importorskip("tensorflow")

    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, step):
            return IMAGES[8 * step : 8 * step + 8], LABELS[8 * step : 8 * step + 8, None]

    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8)
    first, second = (fine_tune(network(), data)[0] for data in (dataset, Data(workers=1)))
    assert_same(first.get_weights(), second.get_weights())
    listed = fine_tune(network(), [(x.numpy(), y.numpy()) for x, y in dataset])[0]
    assert_same(first.get_weights(), listed.get_weights())
    one_hot = dataset.map(lambda images, labels: (images, tf.one_hot(labels, 4)))
    third, checked = fine_tune(network(), one_hot, validation_data=one_hot)
    assert_same(first.get_weights(), third.get_weights())
    assert checked.history["val_accuracy"][-1] == pytest.approx(
        np.mean(third.predict(IMAGES, verbose=0).argmax(axis=1) == LABELS)
    )
    smoothed = one_hot.map(lambda images, labels: (images, 0.9 * labels + 0.025))
    with pytest.raises(ValueError, match="that are not one-hot"):
        fine_tune(network(), smoothed)
    halves = dataset.map(lambda images, labels: (images, labels / 2))
    with pytest.raises(ValueError, match="Expected labels of int"):
        fine_tune(network(), halves)
    _, history = fine_tune(
        network(), dataset, objective="energy", outliers=IMAGES // 2, margin_in=-9, margin_out=-1
    )
    assert history.history["loss"][0] > history.history["ce"][0]
    assert history.history["energy_out"][0] != history.history["energy"][0]


def test_margins_are_derived_from_the_network():
    flat = random_images((16, 16, 3), 30) // 8
    _, history = fine_tune(
        network(), IMAGES, LABELS, objective="outlier_exposure", outliers=flat
    )
    assert history.history["loss"][0] > history.history["ce"][0]


def test_a_subclassed_softmax_model_is_trained_in_place_on_its_logits():
    model = InPlace(4)
    model(IMAGES)
    start = model.get_weights()
    tuned, history = fine_tune(model, IMAGES, LABELS, objective="ce", epochs=1, batch_size=24)
    assert tuned is model
    # ce of the logits before the step, not of a softmax's softmax.
    logits = IMAGES.reshape(24, -1) / 255 @ start[0] + start[1]
    ce = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(24), LABELS]
    assert history.history["ce"][0] == pytest.approx(ce.mean(), rel=1e-4)


def test_an_optimiser_of_the_recipe_is_compiled_by_default():
    trainer = kerasood.SparsityFineTuning(network())
    trainer.compile()
    trainer.fit(IMAGES, LABELS, epochs=2, batch_size=16, verbose=0)
    # Two epochs of two steps, all of the cosine.
    assert int(trainer.optimizer.iterations) == 4
    assert float(trainer.optimizer.learning_rate) == pytest.approx(1e-6, rel=1e-3)
    assert (trainer.optimizer.momentum, trainer.optimizer.l2) == (0.9, 5e-4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"objective": "sparsty"}, "Did you mean 'sparsity'"),
        ({"wight": 0.1}, "Did you mean 'weight'"),
        ({"site": "pixels"}, "Expected a site out of logits, features"),
        ({"objective": "energy"}, "Expected outliers, which objective 'energy' trains on"),
        ({"outliers": IMAGES}, "Expected no outliers for objective 'sparsity'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_work(values, message):
    with pytest.raises(ValueError, match=message):
        fine_tune(network(), IMAGES, LABELS, **values)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES / 255, LABELS, "Expected images of uint8"),
        (IMAGES, LABELS + 1, r"labels in \[0, 4\), the model's classes. Received: 1 to 4"),
        (IMAGES, np.eye(4)[LABELS] + 1, "that are not one-hot"),
        (IMAGES, LABELS / 2, "Expected labels of int"),
    ],
)
def test_data_that_do_not_fit_are_refused(images, labels, message):
    with pytest.raises(ValueError, match=message):
        fine_tune(network(), images, labels)


@pytest.fixture
def doubled():
    """An objective of one's own."""

    class Doubled(CrossEntropyTraining):
        objective = "doubled"
        formula = "{factor:g} * ce"
        help = {"factor": "factor of the cross-entropy [2]"}

        def __init__(self, network, factor: float = 2.0, augmentation=None, **kwargs):
            super().__init__(network, augmentation, **kwargs)
            self.factor = factor

        def training_loss(self, labels, ce, outputs):
            return self.factor * keras.ops.mean(ce)

    yield register_objective(Doubled)
    del OBJECTIVES["doubled"]


def test_a_registered_objective_is_trained_flagged_and_described(doubled):
    from absl import flags

    from kerasood.commands.flags import define_flags, from_flags
    from kerasood.training.config import TrainConfig, stage_config

    _, history = fine_tune(network(), IMAGES, LABELS, objective="doubled", factor=3.0)
    for loss, ce in zip(history.history["loss"], history.history["ce"], strict=True):
        assert loss == pytest.approx(3 * ce, rel=1e-5)
    values = flags.FlagValues()
    define_flags(TrainConfig, values)
    values(["program", "--objective=doubled", "--factor=3"])
    stage = stage_config(from_flags(TrainConfig, values), "finetune", init="base")
    assert (stage.name, stage.label) == ("finetune-doubled-factor3", "+ doubled (factor 3)")
    assert doubled.describe(stage.parameters) == "3 * ce"
    with pytest.raises(ValueError, match="new name of an objective. Received: 'doubled'"):
        register_objective(doubled)


@pytest.mark.parametrize("objective", ["resampling", "udg"])
def test_objectives_that_keep_something_for_each_image_take_arrays(objective):
    values = {"groups": 3} if objective == "udg" else {}
    values |= {"outliers": IMAGES, "epochs": 1}
    _, history = fine_tune(network(), IMAGES, LABELS, objective, **values)
    assert np.isfinite(history.history["loss"]).all()
    with pytest.raises(ValueError, match="Expected arrays of images and labels, for objective"):
        fine_tune(network(), [(IMAGES, LABELS)], objective=objective, outliers=IMAGES)


def test_float16_losses_are_scaled():
    policy = keras.dtype_policies.get("mixed_float16")
    half = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 255, dtype=policy),
            layers.Flatten(dtype=policy),
            layers.Dense(4, dtype="float32"),
        ]
    )
    single = keras.Sequential(
        [
            keras.Input((16, 16, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(4)
        ]
    )
    single.set_weights(half.get_weights())
    steps = []
    for model in (half, single):
        start = model.get_weights()[0]
        tuned, _ = fine_tune(model, IMAGES, LABELS, objective="ce", learning_rate=0.1)
        steps.append(tuned.get_weights()[0] - start)
    # As long as in float32; a loss that stays scaled would take the step 1 / 32,768 as far.
    assert np.linalg.norm(steps[0]) == pytest.approx(np.linalg.norm(steps[1]), rel=0.05)


class TellsEpochs(CrossEntropyTraining):
    def begin_training(self, batches):
        self.begun = [batches.num_images]
        begun.append(self.begun)

    def begin_epoch(self, epoch, outliers):
        self.begun.append((epoch, outliers))


begun = []


@pytest.mark.parametrize("in_batches", [False, True])
def test_hooks_are_called_without_outliers_too(in_batches, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "tells_epochs", TellsEpochs)
    data = (IMAGES, LABELS)
    if in_batches:
        data = (tf.data.Dataset.from_tensor_slices(data).batch(12),)
    fine_tune(network(), *data, objective="tells_epochs")
    assert begun.pop() == [24, (0, None), (1, None)]


class OwnRule(CrossEntropyTraining):
    def own_optimizers(self, optimizer):
        return [(self.network.trainable_variables[:1], keras.optimizers.SGD(0.0))]


def test_another_optimizer_than_the_recipes_is_told_to_train_what_has_its_own_rule(caplog):
    OwnRule(network()).compile()
    assert not caplog.messages
    OwnRule(network()).compile(keras.optimizers.Adam())
    assert "objective ce leaves some variables to rules of their own, which Adam" in caplog.text
