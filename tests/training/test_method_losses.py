"""Losses of the training methods with outliers and heads of their own, against float64."""

import keras
import numpy as np
import pytest
from method_trainers import OUTLIERS, outputs_of, ready, seen, step
from naive_objectives import (
    naive_cross_entropy,
    naive_divergence,
    naive_entropy,
    naive_softmax,
    naive_uniform_cross_entropy,
    naive_uniform_distance,
)
from two_layer_network import IMAGES, LABELS, two_layers

from kerasood.training import OBJECTIVES, objectives
from kerasood.training.trainers.udg import filtered


def joint(outputs):
    return np.concatenate([outputs["logits"], outputs["reject_logits"]], axis=1)


def test_quantities_worked_by_hand():
    logits = np.log([[1.0, 3.0], [2.0, 2.0]])
    np.testing.assert_allclose(objectives.confidence(logits), [0.75, 0.5])
    # |1/4 - 1/2| + |3/4 - 1/2|
    np.testing.assert_allclose(objectives.uniform_distance(logits), [0.5, 0.0])
    quarter = 0.25 * np.log(4) + 0.75 * np.log(4 / 3)
    np.testing.assert_allclose(objectives.entropy(logits), [quarter, np.log(2)])
    # 3 of 3 + 4 and 9 of 9 + 4.
    odds = objectives.log_odds(logits, np.log([[1.0, 2.0], [4.0, 5.0]]))
    np.testing.assert_allclose(odds, np.log([3 / 4, 9 / 4]))


def test_quantities_in_float64():
    logits = np.random.default_rng(0).normal(0, 3, (20, 7))
    np.testing.assert_allclose(objectives.entropy(logits), naive_entropy(logits))
    np.testing.assert_allclose(objectives.uniform_distance(logits), naive_uniform_distance(logits))
    np.testing.assert_allclose(objectives.confidence(logits), naive_softmax(logits).max(axis=1))


def oecc(labels, inside, outside):
    confidence = naive_softmax(inside["logits"]).max(axis=1).mean()
    held = 0.07 * len(labels) * (0.75 - confidence) ** 2
    return held + 0.05 * naive_uniform_distance(outside["logits"]).sum()


def ntom(labels, inside, outside):
    of_classes = naive_cross_entropy(labels, inside["logits"]).mean()
    rejected = naive_cross_entropy(np.full(len(OUTLIERS), 4), joint(outside))
    return naive_cross_entropy(labels, joint(inside)).mean() - of_classes + rejected.mean()


TWINS = {
    "oecc": oecc,
    "ntom": ntom,
    "resampling": lambda labels, inside, outside: (
        0.5 * naive_divergence(outside["logits"]).mean()
    ),
    # The first step is step A.
    "mcd": lambda labels, inside, outside: naive_cross_entropy(labels, inside["logits_2"]).mean(),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_step_logs_the_loss_of_the_publication(name):
    trainer, batches = ready(name)
    labels, inside, outside = seen(trainer, batches)
    logged = step(trainer, batches)
    ce = naive_cross_entropy(labels, inside["logits"]).mean()
    added = TWINS[name](labels, inside, outside)
    assert logged["ce"] == pytest.approx(ce, rel=1e-5)
    assert logged["loss"] == pytest.approx(ce + added, rel=1e-5)
    assert added > 0.01


def test_validation_is_the_cross_entropy_of_the_classes_alone():
    for name in ("ntom", "mcd", "confident_gan", "t2fnorm"):
        trainer, _ = ready(name)
        logged = trainer.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
        ce = naive_cross_entropy(LABELS, outputs_of(trainer, IMAGES)["logits"]).mean()
        assert logged["loss"] == pytest.approx(ce, rel=1e-5)
        assert set(logged) == {"loss", "ce", "accuracy", "energy"}, name


def test_every_second_step_of_mcd_drives_the_heads_apart():
    trainer, batches = ready("mcd", learning_rate=0.02)
    for number in range(4):
        labels, inside, outside = seen(trainer, batches)
        loss = sum(naive_cross_entropy(labels, inside[n]).mean() for n in ("logits", "logits_2"))
        first, second = (
            naive_entropy(np.concatenate([inside[name], outside[name]]))
            for name in ("logits", "logits_2")
        )
        apart = max(0, 1.2 - np.mean(first - second))
        assert apart > 0.1
        logged = step(trainer, batches)
        assert logged["loss"] == pytest.approx(loss + (number % 2) * apart, rel=1e-4)
        assert logged["discrepancy"] == pytest.approx(np.mean(first - second), rel=1e-3)


def test_reject_classes_keep_what_they_reject_and_draw_for_the_rest():
    trainer, batches = ready("reject_classes", reject_classes=3)
    *weights, _ = trainer.network.get_weights()
    trainer.network.set_weights([*weights, np.array([40.0, 0.0, 50.0])])
    labels, inside, outside = seen(trainer, batches)
    targets = np.full(24, 4) + outside["reject_logits"].argmax(axis=1)
    loss = naive_cross_entropy(labels, joint(inside)).mean()
    loss += 5.0 * naive_cross_entropy(targets, joint(outside)).mean()
    assert step(trainer, batches)["loss"] == pytest.approx(loss, rel=1e-4)
    certain = {"logits_out": np.full((600, 4), 9.0), "reject_logits_out": np.zeros((600, 3))}
    drawn = keras.ops.convert_to_numpy(trainer.targets_out(certain))
    assert np.bincount(drawn, minlength=3).min() > 150 and drawn.max() == 2


def test_t2fnorm_trains_directions_and_scores_lengths():
    trainer, batches = ready("t2fnorm")
    kernel, bias = trainer.network.get_weights()[-2:]
    scaled = outputs_of(trainer, IMAGES)["features"]
    pixels = two_layers()
    hidden = np.asarray(keras.Model(pixels.inputs[0], pixels.layers[-2].output)(IMAGES))
    np.testing.assert_allclose(scaled, hidden / 0.1, rtol=1e-5)
    logits = np.asarray(trainer.network(IMAGES))
    np.testing.assert_allclose(logits, scaled @ kernel + bias, rtol=1e-4, atol=1e-4)
    labels, inside, _ = seen(trainer, batches)
    lengths = np.linalg.norm(inside["features"], axis=1, keepdims=True)
    expected = naive_cross_entropy(labels, inside["features"] / lengths / 0.1 @ kernel + bias)
    assert step(trainer, batches)["loss"] == pytest.approx(expected.mean(), rel=1e-5)
    plain = two_layers()
    softmax = keras.Model(plain.inputs[0], keras.layers.Softmax()(plain.outputs[0]))
    same, batches = ready("t2fnorm", network=softmax)
    assert step(same, batches)["loss"] == pytest.approx(expected.mean(), rel=1e-5)
    again = OBJECTIVES["t2fnorm"].network_for(trainer.network, {"temperature": 0.1})
    assert again is trainer.network


def test_g_odin_decays_all_but_its_numerators():
    without, batches = ready("g_odin", learning_rate=0.1, similarity="inner")
    decayed, _ = ready("g_odin", learning_rate=0.1, l2=0.5, similarity="inner")
    # Decay moves nothing that is 0.
    start = [np.abs(weight) + 0.5 for weight in without.network.get_weights()]
    for trainer in (without, decayed):
        trainer.network.set_weights(start)
        step(trainer, batches)
    pairs = zip(without.network.weights, decayed.network.weights, strict=True)
    same = {a.path for a, b in pairs if a.trainable and np.allclose(a, b, rtol=1e-5)}
    assert same == {"deconf/kernel", "deconf/bias"}


def test_groups_that_a_class_fills_give_it_to_their_unlabelled_images():
    """Group 0: five of class 1, one unlabelled (5/6); 1: one of class 0, nine; 2: one and one."""
    group_in, labels = np.array([0, 0, 0, 0, 0, 1, 2]), np.array([1, 1, 1, 1, 1, 0, 0])
    group_out = np.array([0, *[1] * 9, 2])
    labels_out, emphasis = filtered(group_in, labels, group_out, purity=0.8)
    np.testing.assert_array_equal(labels_out, [1, *[-1] * 10])
    np.testing.assert_array_equal(emphasis, [1, *[2] * 9, 1])
    labels_out, _ = filtered(group_in, labels, group_out, purity=0.9)
    assert (labels_out == -1).all()


def test_udg_weighs_classes_outliers_and_groups():
    trainer, batches = ready("udg")
    assert np.abs(np.asarray(trainer.group_head.kernel)).max() < 0.06
    assert set(np.asarray(trainer.groups_in)) | set(np.asarray(trainer.groups_out)) == {0, 1, 2, 3}
    generator = np.random.default_rng(2)
    trainer.labels_out.assign(np.where(np.arange(24) < 6, 2, -1))
    trainer.emphasis.assign(1 + np.arange(24) % 2)
    kernel = generator.normal(0, 0.3, trainer.group_head.kernel.shape)
    trainer.group_head.kernel.assign(kernel)
    labels, inside, outside = seen(trainer, batches)
    rows, rows_out = (batches[0][0][name] for name in ("rows", "rows_out"))
    classed = rows_out < 6
    ce = [*naive_cross_entropy(labels, inside["logits"])]
    ce += [*naive_cross_entropy(np.full(24, 2), outside["logits"])[classed]]
    uniform = naive_uniform_cross_entropy(outside["logits"]) * (1 + rows_out % 2)
    features = np.concatenate([inside["features"], outside["features"]])
    groups = np.concatenate(
        [np.asarray(trainer.groups_in)[rows], np.asarray(trainer.groups_out)[rows_out]]
    )
    sizes = np.bincount(groups)
    scale = 1 / np.sqrt(sizes) / np.mean(1 / np.sqrt(sizes))
    grouping = scale[groups] * naive_cross_entropy(groups, features @ kernel)
    expected = np.mean(ce) + 0.5 * uniform[~classed].mean() + 0.1 * grouping.mean()
    assert step(trainer, batches)["loss"] == pytest.approx(expected, rel=1e-4)
