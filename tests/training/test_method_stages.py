"""What the training methods do beside their losses: mining, attacks, learned weights, a GAN."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from method_trainers import OUTLIERS, outputs_of, ready, seen, step
from naive_objectives import naive_cross_entropy, naive_divergence

from kerasood.training.trainers.outlier_mining import mined


def odds_of(trainer, images):
    outputs = outputs_of(trainer, images)
    joint = np.concatenate([outputs["logits"], outputs["reject_logits"]], axis=1)
    return -naive_cross_entropy(np.full(len(images), 4), joint)


def test_mining_takes_the_quarter_after_the_quantile_of_the_hardest():
    odds = np.array([5.0, 1.0, 4.0, 0.0, 7.0, 2.0, 6.0, 3.0])
    np.testing.assert_array_equal(mined(odds, 0.0), [3, 1])
    # Of eight, places 1 and 2.
    np.testing.assert_array_equal(mined(odds, 0.125), [1, 5])
    np.testing.assert_array_equal(mined(odds, 0.75), [6, 4])
    np.testing.assert_array_equal(mined(odds[:3], 0.5), [2])


def test_an_epoch_trains_on_the_outliers_that_are_mined():
    trainer, batches = ready("ntom", quantile=0.0)
    rows = trainer.begin_epoch(0, OUTLIERS)
    hardest = np.argsort(odds_of(trainer, OUTLIERS))[:6]
    assert set(rows) == set(hardest)
    batches.begin_epoch(0, rows)
    np.testing.assert_array_equal(np.unique(np.concatenate(batches.outlier_rows)), np.sort(rows))


def test_a_pool_is_another_one_in_every_epoch():
    trainer, _ = ready("ntom", quantile=0.0)
    trainer._pool_size = 12
    pools = [set(trainer.begin_epoch(epoch, OUTLIERS)) for epoch in (0, 0, 1)]
    assert pools[0] == pools[1] != pools[2]
    assert all(len(pool) == 3 for pool in pools)


def test_the_published_quantile_follows_the_data_set():
    trainer, _ = ready("ntom")
    kind = type(trainer)
    assert [kind.settle({}, name)["quantile"] for name in (None, "cifar10", "cifar100")] == [
        0.125, 0.125, 0.5,
    ]
    assert kind.settle({"quantile": 0.25}, "cifar100")["quantile"] == 0.25
    with pytest.raises(ValueError, match="quantile <= 0.75. Received: quantile=0.8"):
        kind(trainer.network, quantile=0.8)


def test_attacked_outliers_are_near_and_less_rejected():
    trainer, _ = ready("atom")
    attacked = keras.ops.convert_to_numpy(trainer.attacked(OUTLIERS))
    assert attacked.dtype == np.uint8
    change = attacked.astype(int) - OUTLIERS
    assert np.abs(change).max() == 8
    assert np.mean(odds_of(trainer, attacked)) < np.mean(odds_of(trainer, OUTLIERS)) - 0.05
    noisy, _ = ready("atom", attack_steps=0)
    noise = keras.ops.convert_to_numpy(noisy.attacked(OUTLIERS))
    assert np.mean(odds_of(noisy, attacked)) < np.mean(odds_of(noisy, noise)) - 0.05


def test_every_second_outlier_of_a_batch_is_attacked():
    trainer, batches = ready("atom")
    inputs, _ = batches[0]
    images = trainer.mix(inputs)
    changed = keras.ops.convert_to_numpy(trainer.perturbed(images, inputs)) != np.asarray(images)
    is_changed = changed.any(axis=(1, 2, 3))
    np.testing.assert_array_equal(is_changed, np.arange(36) >= 12 + 12)


def test_weights_of_outliers_grow_with_what_the_network_fails_to_do():
    trainer, batches = ready("resampling", learning_rate=0.0)
    _, _, outside = seen(trainer, batches)
    rows = batches[0][0]["rows_out"]
    step(trainer, batches)
    parameters = np.asarray(trainer.raw_weights)
    divergence = np.zeros(24)
    np.add.at(divergence, rows, naive_divergence(outside["logits"]))
    # d mean(v KL) / d parameter at parameters of 0: 12 outliers of 24; the mean of all stays.
    expected = 100 * 0.5 / 12 * (divergence - divergence.sum() / 24) / (4 * np.log(2))
    np.testing.assert_allclose(parameters, expected, rtol=1e-3, atol=1e-3)
    assert parameters.max() > 0 > parameters.min()


def test_weighted_outliers_weigh_what_the_publication_says():
    trainer, batches = ready("resampling")
    parameters = np.random.default_rng(1).normal(0, 3, 24)
    trainer.raw_weights.assign(parameters)
    labels, inside, outside = seen(trainer, batches)
    weights = np.log1p(np.exp(parameters))
    scale = np.mean(np.sqrt(weights)) / np.mean(weights)
    v = scale * np.sqrt(weights[batches[0][0]["rows_out"]])
    expected = naive_cross_entropy(labels, inside["logits"]).mean()
    expected += 0.5 * np.mean(v * naive_divergence(outside["logits"]))
    assert step(trainer, batches)["loss"] == pytest.approx(expected, rel=1e-4)


def test_after_the_weights_a_subset_is_left():
    trainer, _ = ready("resampling", weighing_epochs=2, subset=0.25)
    trainer.raw_weights.assign(np.where(np.arange(24) < 8, 40.0, -40.0))
    assert len(trainer.begin_epoch(1, OUTLIERS)) == 24
    assert float(trainer.is_weighing) == 1
    subset = trainer.begin_epoch(2, OUTLIERS)
    assert len(set(subset)) == 6 and max(subset) < 8
    np.testing.assert_array_equal(trainer.begin_epoch(9, OUTLIERS), subset)
    assert float(trainer.is_weighing) == 0


def test_classifier_generator_and_discriminator_learn_their_own_losses():
    trainer, batches = ready("confident_gan", gan_width=2)
    images, _ = batches[0]
    losses = {
        "ce": lambda o: _mean(o["logits"]),
        "divergence": lambda o: _mean(o["logits_made"]),
        "told_apart": lambda o: _mean(o["real"]) + _mean(o["made"]),
        "fooled": lambda o: _mean(o["made_for_generator"]),
    }
    parts = {
        "classifier": trainer.network.trainable_variables,
        "generator": trainer.generator.trainable_variables,
        "discriminator": trainer.discriminator.trainable_variables,
    }
    moved = {}
    for name, loss in losses.items():
        with tf.GradientTape() as tape:
            value = loss(trainer.outputs_of(images, training=True))
        variables = [v.value for part in parts.values() for v in part]
        gradients = iter(tape.gradient(value, variables))
        moved[name] = {
            part for part, own in parts.items()
            if any([_is_nonzero(next(gradients)) for _ in own])
        }
    assert moved == {
        "ce": {"classifier"},
        "divergence": {"classifier", "generator"},
        "told_apart": {"discriminator"},
        "fooled": {"generator"},
    }


def test_the_loss_of_a_confident_classifier_is_the_sum_of_its_parts():
    trainer, _ = ready("confident_gan", gan_width=2)
    outputs = {
        "logits": np.log([[1.0, 3.0], [1.0, 1.0]]),
        "logits_made": np.log([[1.0, 3.0]]),
        "real": np.array([[0.0]]),
        "made": np.array([[np.log(3)]]),
        "made_for_generator": np.array([[np.log(3)]]),
    }
    outputs = {name: value.astype("float32") for name, value in outputs.items()}
    loss = trainer.training_loss(np.array([0, 1]), np.float32([1.0, 2.0]), outputs)
    # KL(uniform, (1/4, 3/4)); a discriminator that gives 1/2 to images and 3/4 to generated ones.
    divergence = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    expected = 1.5 + 0.1 * divergence + np.log(2) + np.log(4) + np.log(4 / 3)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_generated_images_have_the_size_and_range_of_the_data():
    trainer, _ = ready("confident_gan")
    made = np.asarray(trainer.generator(np.random.default_rng(0).normal(0, 9, (5, 100))))
    assert made.shape == (5, 8, 8, 3)
    assert 0 <= made.min() < made.max() <= 255
    odd = keras.Sequential(
        [keras.Input((12, 12, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    with pytest.raises(ValueError, match="divisible by 8. Received: shape"):
        type(trainer)(odd)


def _mean(values):
    return keras.ops.mean(values)


def _is_nonzero(gradient):
    return gradient is not None and bool(np.any(np.asarray(gradient) != 0))
