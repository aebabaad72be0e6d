"""What the training objectives minimise and log, against float64 computed by hand."""

import keras
import numpy as np
import pytest
from keras import layers
from two_layer_network import IMAGES, LABELS, compiled, fit, measured, two_layers

from kerasood.training.optimizers import NesterovSGD, cosine_schedule
from kerasood.training.trainers import (
    OBJECTIVES,
    CrossEntropyTraining,
    SparsityFineTuning,
)
from kerasood.training.trainers.sparsity import WEIGHTS

SITES = ("logits", "features")
MEASURED = ("loss", "ce", "accuracy", "energy")


def gradients_by_hand(network, weight, site):
    """d(mean CE + weight * mean L1) / d(kernel, bias) of both layers of `two_layers`, float64."""
    kernel1, bias1, kernel2, bias2 = (np.asarray(w, "float64") for w in network.get_weights())
    x = IMAGES.reshape(12, -1) / 64 - 2
    hidden = x @ kernel1 + bias1
    features = np.maximum(hidden, 0)
    logits = features @ kernel2 + bias2
    exponentials = np.exp(logits)
    d_logits = exponentials / exponentials.sum(axis=1, keepdims=True) - np.eye(4)[LABELS]
    if site == "logits":
        d_logits += weight * np.sign(logits)
    d_features = d_logits @ kernel2.T + weight * np.sign(features) * (site == "features")
    d_hidden = d_features * (hidden > 0)
    gradients = [x.T @ d_hidden, d_hidden.sum(axis=0), features.T @ d_logits, d_logits.sum(axis=0)]
    return [gradient / 12 for gradient in gradients]


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("site", SITES)
def test_a_full_batch_logs_the_loss_and_its_parts_before_the_step(site, policy):
    network = two_layers(policy)
    expected = measured(network, site=site)
    trainer = SparsityFineTuning(network, weight=0.25, site=site)
    logged = fit(compiled(trainer, how="graph"))
    assert set(logged) == {*MEASURED, "l1"}
    assert expected["l1"] > 1 and expected["ce"] > 0.1
    tolerance = 1e-5 if policy == "float32" else 2e-2
    for name, value in expected.items():
        assert logged[name] == [pytest.approx(value, rel=tolerance)], name
    total = expected["ce"] + 0.25 * expected["l1"]
    assert logged["loss"] == [pytest.approx(total, rel=tolerance)]
    assert logged["loss"] == [pytest.approx(logged["ce"][0] + 0.25 * logged["l1"][0], rel=1e-5)]


def test_cross_entropy_training_logs_the_same_without_a_norm():
    network = two_layers()
    expected = measured(network)
    logged = fit(compiled(CrossEntropyTraining(network)))
    assert set(logged) == set(MEASURED)
    assert logged["loss"] == logged["ce"] == [pytest.approx(expected["ce"], rel=1e-5)]
    assert logged["accuracy"] == [pytest.approx(expected["accuracy"])]
    assert logged["energy"] == [pytest.approx(expected["energy"], rel=1e-5)]


@pytest.mark.parametrize("site", SITES)
def test_validation_loss_is_the_cross_entropy_after_the_step(site):
    network = two_layers()
    trainer = compiled(SparsityFineTuning(network, weight=0.25, site=site))
    logged = fit(trainer, validation_data=(IMAGES[:7], LABELS[:7]), validation_batch_size=3)
    for name, value in measured(network, IMAGES[:7], LABELS[:7], site).items():
        assert logged[f"val_{name}"] == [pytest.approx(value, rel=1e-5)], name
    assert logged["val_loss"] == [pytest.approx(logged["val_ce"][0], rel=1e-6)]
    assert logged["val_ce"] != logged["ce"]


def test_an_epoch_of_unequal_batches_logs_means_over_images():
    network = two_layers()
    expected = measured(network)
    trainer = compiled(SparsityFineTuning(network, weight=0.25), learning_rate=0.0)
    logged = fit(trainer, batch_size=5, epochs=2, shuffle=False)
    for name, value in expected.items():
        assert logged[name] == [pytest.approx(value, rel=1e-5)] * 2, name
    total = expected["ce"] + 0.25 * expected["l1"]
    assert logged["loss"] == [pytest.approx(total, rel=1e-5)] * 2


@pytest.mark.parametrize(
    ("site", "how"),
    [("logits", "eager"), ("logits", "graph"), ("features", "graph"), ("features", "xla")],
)
def test_a_step_follows_the_gradient_worked_out_by_hand(site, how):
    network = two_layers()
    before = network.get_weights()
    gradients = gradients_by_hand(network, 0.25, site)
    trainer = SparsityFineTuning(network, weight=0.25, site=site)
    fit(compiled(trainer, learning_rate=0.125, how=how))
    for weight, start, gradient in zip(network.get_weights(), before, gradients, strict=True):
        np.testing.assert_allclose(weight - start, -0.125 * gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("site", SITES)
def test_a_weight_of_zero_trains_as_cross_entropy_does(site):
    networks = two_layers(), two_layers()
    fit(compiled(SparsityFineTuning(networks[0], weight=0.0, site=site)), epochs=2)
    fit(compiled(CrossEntropyTraining(networks[1])), epochs=2)
    pairs = list(zip(*(network.get_weights() for network in networks), strict=True))
    for ours, control in pairs:
        np.testing.assert_allclose(ours, control, rtol=1e-5, atol=1e-7)
    assert any(np.any(ours != start) for (ours, _), start in
               zip(pairs, two_layers().get_weights(), strict=True))


def test_the_penalty_is_a_mean_over_images_and_not_a_sum():
    once = fit(compiled(SparsityFineTuning(two_layers(), weight=0.25)))
    repeated = np.tile(IMAGES, (10, 1, 1, 1)), np.tile(LABELS, 10)
    tenfold = fit(compiled(SparsityFineTuning(two_layers(), weight=0.25)), *repeated)
    for name in (*MEASURED, "l1"):
        assert tenfold[name] == pytest.approx(once[name], rel=1e-5), name


@pytest.mark.parametrize(("site", "weight"), [("logits", 0.01), ("features", 0.02)])
def test_each_site_has_its_own_default_weight(site, weight):
    assert WEIGHTS[site] == weight
    assert float(SparsityFineTuning(two_layers(), site=site).weight) == pytest.approx(weight)
    assert SparsityFineTuning(two_layers()).site == "logits"


@pytest.mark.parametrize("site", SITES)
def test_fine_tuning_shrinks_the_norm_that_it_penalises(site):
    networks = {weight: two_layers() for weight in (0.0, 0.3)}
    thirty_times = np.tile(IMAGES, (30, 1, 1, 1)), np.tile(LABELS, 30)
    for weight, network in networks.items():
        trainer = SparsityFineTuning(network, weight=weight, site=site)
        compiled(trainer, learning_rate=0.02, how="graph")
        fit(trainer, *thirty_times, batch_size=12, shuffle=False)
    start = measured(two_layers(), site=site)["l1"]
    control, sparse = (measured(network, site=site)["l1"] for network in networks.values())
    assert sparse < 0.9 * start
    assert sparse < 0.9 * control


def test_the_logits_penalty_rests_where_theory_says():
    """The other logits at 0 and the true one where 1 - p = weight."""
    classes, weight = 3, 0.1
    network = keras.Sequential([keras.Input((classes,)), layers.Dense(classes, use_bias=False)])
    trainer = SparsityFineTuning(network, weight=weight)
    trainer.compile(NesterovSGD(cosine_schedule(1.0, 1e-4, 400), l2=0.0), jit_compile=False)
    inputs = np.eye(classes, dtype="float32")
    repeated = np.tile(inputs, (400, 1)), np.tile(np.arange(classes), 400)
    fit(trainer, *repeated, batch_size=classes, shuffle=False)
    logits = np.asarray(network(inputs))
    # p = e^z / (e^z + 2) = 0.9 at z = ln 18; logsumexp = ln(18 + 2).
    np.testing.assert_allclose(logits, np.log(18) * np.eye(classes), atol=0.02)
    assert measured(network, inputs, np.arange(classes))["energy"] == pytest.approx(
        -np.log(20), abs=0.01
    )


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_labels_of_any_integer_type_train_alike(dtype):
    logged = fit(compiled(SparsityFineTuning(two_layers())), labels=LABELS.astype(dtype))
    assert logged["ce"] == [pytest.approx(measured(two_layers())["ce"], rel=1e-5)]
    assert logged["accuracy"] == [pytest.approx(measured(two_layers())["accuracy"])]


def test_one_hot_labels_are_refused():
    with pytest.raises(ValueError, match=r"labels of shape \(N,\).*Received: shape=\(12, 4\)"):
        fit(compiled(SparsityFineTuning(two_layers())), labels=np.eye(4)[LABELS])


@pytest.mark.parametrize("weights", [{"sample_weight": np.ones(12)}, {"class_weight": {0: 2.0}}])
def test_weights_of_images_or_classes_are_refused(weights):
    with pytest.raises(ValueError, match=r"Expected \(images, labels\).*Received: a sample_weight"):
        fit(compiled(CrossEntropyTraining(two_layers())), **weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"site": "pixels"}, "site 'logits' or 'features'. Received: site='pixels'"),
        ({"weight": -0.1}, "weight >= 0. Received: weight=-0.1"),
    ],
)
def test_unknown_sites_and_negative_weights_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SparsityFineTuning(two_layers(), **arguments)


def test_the_table_holds_trainers():
    assert all(issubclass(objective, CrossEntropyTraining) for objective in OBJECTIVES.values())
