"""Training with outliers, and LogitNorm: what they minimise and log, against float64."""

import keras
import numpy as np
import pytest
from keras import layers
from naive_objectives import (
    naive_cross_entropy,
    naive_energy,
    naive_hinges,
    naive_logit_norm,
    naive_uniform_cross_entropy,
)
from two_layer_network import IMAGES, LABELS, compiled, fit, measured, two_layers

from kerasood.training.optimizers import NesterovSGD
from kerasood.training.trainers import (
    EnergyFineTuning,
    LogitNormFineTuning,
    OutlierExposure,
    OutlierTraining,
)

OUTLIERS = np.random.default_rng(5).integers(0, 256, (24, 8, 8, 3)).astype("uint8")
# Some energies of `two_layers` lie on either side of both.
MARGINS = {"margin_in": -3.0, "margin_out": -1.8}
PAIR = {"images": IMAGES, "outliers": OUTLIERS}
OBJECTIVES = {
    "energy": lambda network, **values: EnergyFineTuning(network, **MARGINS, **values),
    "outlier_exposure": OutlierExposure,
}
WEIGHTS = {"energy": 0.1, "outlier_exposure": 0.5}
by_name = pytest.mark.parametrize("name", OBJECTIVES)


def batch_of(images, outliers, labels, batches=1):
    """A dataset-like generator of `batches` equal batches."""
    return ((({"images": images, "outliers": outliers}), labels) for _ in range(batches))


def fit_pair(trainer, images=IMAGES, outliers=OUTLIERS, **arguments):
    return trainer.fit(
        batch_of(images, outliers, LABELS), steps_per_epoch=1, shuffle=False, verbose=0, **arguments
    ).history


def penalty(name, logits_in, logits_out):
    if name == "outlier_exposure":
        return np.mean(naive_uniform_cross_entropy(logits_out))
    hinge_in, _ = naive_hinges(naive_energy(logits_in), **MARGINS)
    _, hinge_out = naive_hinges(naive_energy(logits_out), **MARGINS)
    return np.mean(hinge_in) + np.mean(hinge_out)


def float64_logits(weights, images):
    """The logits of `two_layers` in float64, from its weights."""
    kernel1, bias1, kernel2, bias2 = weights
    x = images.reshape(len(images), -1) / 64 - 2
    return np.maximum(x @ kernel1 + bias1, 0) @ kernel2 + bias2


def loss_of(name, weights, weight):
    logits_in, logits_out = (float64_logits(weights, x) for x in (IMAGES, OUTLIERS))
    return np.mean(naive_cross_entropy(LABELS, logits_in)) + weight * penalty(
        name, logits_in, logits_out
    )


def test_both_margins_divide_their_energies():
    weights = two_layers().get_weights()
    for images, margin in ((IMAGES, MARGINS["margin_in"]), (OUTLIERS, MARGINS["margin_out"])):
        energies = naive_energy(float64_logits(weights, images))
        assert 0 < np.mean(energies > margin) < 1, energies


@pytest.mark.parametrize(
    ("name", "how"), [("energy", "graph"), ("energy", "xla"), ("outlier_exposure", "graph")]
)
def test_a_step_logs_the_loss_and_its_parts(name, how):
    network = two_layers()
    weights = [np.asarray(w, "float64") for w in network.get_weights()]
    logits_in, logits_out = (float64_logits(weights, x) for x in (IMAGES, OUTLIERS))
    logged = fit_pair(compiled(OBJECTIVES[name](network), how=how))
    assert set(logged) == {"loss", "ce", "accuracy", "energy", "energy_out"}
    ce = np.mean(naive_cross_entropy(LABELS, logits_in))
    added = WEIGHTS[name] * penalty(name, logits_in, logits_out)
    assert ce > 0.1 and added > 0.01
    assert logged["ce"] == [pytest.approx(ce, rel=1e-5)]
    assert logged["loss"] == [pytest.approx(ce + added, rel=1e-5)]
    assert logged["energy"] == [pytest.approx(np.mean(naive_energy(logits_in)), rel=1e-5)]
    assert logged["energy_out"] == [pytest.approx(np.mean(naive_energy(logits_out)), rel=1e-5)]
    hits = np.mean(logits_in.argmax(axis=1) == LABELS)
    assert logged["accuracy"] == [pytest.approx(hits)]


@by_name
def test_a_step_follows_finite_differences_with_the_decay_inside(name):
    network = two_layers()
    before = [np.asarray(w, "float64") for w in network.get_weights()]
    trainer = OBJECTIVES[name](network, weight=0.25)
    trainer.compile(NesterovSGD(0.125, momentum=0.0, l2=0.5), run_eagerly=True)
    fit_pair(trainer)
    rng = np.random.default_rng(0)
    for index, (after, start) in enumerate(zip(network.get_weights(), before, strict=True)):
        for _ in range(5):
            place = tuple(rng.integers(size) for size in start.shape)
            losses = []
            for sign in (1, -1):
                moved = [w.copy() for w in before]
                moved[index][place] += sign * 1e-5
                losses.append(loss_of(name, moved, 0.25))
            gradient = (losses[0] - losses[1]) / 2e-5 + 0.5 * start[place]
            assert after[place] - start[place] == pytest.approx(
                -0.125 * gradient, rel=1e-3, abs=1e-5
            )


@by_name
def test_validation_is_the_cross_entropy_on_plain_images(name):
    network = two_layers()
    trainer = compiled(OBJECTIVES[name](network))
    data = {"validation_data": (IMAGES[:7], LABELS[:7]), "validation_batch_size": 3}
    for _ in range(2):
        logged = fit_pair(trainer, **data)
        expected = measured(network, IMAGES[:7], LABELS[:7])
        for quantity in ("ce", "accuracy", "energy"):
            value = pytest.approx(expected[quantity], rel=1e-5)
            assert logged[f"val_{quantity}"] == [value], quantity
        assert logged["val_loss"] == [pytest.approx(expected["ce"], rel=1e-5)]
        assert logged["val_loss"][0] > 0 and "val_energy_out" not in logged
        assert logged["energy_out"][0] < 0


class Counted(layers.Layer):
    """Notes the number of images of every call in training."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def call(self, images, training=None):
        if training:
            self.calls.append(len(images))
        return images


@by_name
def test_images_and_outliers_share_one_forward_pass_and_its_batch_statistics(name):
    keras.utils.set_random_seed(0)
    augmentation, counted = Counted(), Counted()
    normalization = layers.BatchNormalization(momentum=0.0)
    network = keras.Sequential([counted, layers.Flatten(), normalization, layers.Dense(4)])
    trainer = compiled(OBJECTIVES[name](network, augmentation=augmentation))
    trainer(IMAGES[:1])
    fit_pair(trainer)
    assert augmentation.calls == counted.calls == [12 + 24]
    together = np.concatenate([IMAGES, OUTLIERS]).reshape(36, -1)
    np.testing.assert_allclose(normalization.moving_mean, together.mean(axis=0), rtol=1e-4)


@by_name
def test_a_weight_of_zero_leaves_the_cross_entropy(name):
    logged = fit_pair(compiled(OBJECTIVES[name](two_layers(), weight=0.0)))
    assert logged["loss"] == [pytest.approx(logged["ce"][0], rel=1e-6)]


@by_name
def test_the_penalty_is_a_mean_over_images_and_over_outliers(name):
    once = fit_pair(compiled(OBJECTIVES[name](two_layers())))
    tripled = fit_pair(
        compiled(OBJECTIVES[name](two_layers())), outliers=np.tile(OUTLIERS, (3, 1, 1, 1))
    )
    for quantity, values in once.items():
        assert tripled[quantity] == pytest.approx(values, rel=1e-5), quantity


def trained_energies(trainer, steps):
    compiled(trainer, learning_rate=0.02, how="graph")
    trainer.fit(
        batch_of(IMAGES, OUTLIERS, LABELS, steps), steps_per_epoch=steps, shuffle=False, verbose=0
    )
    weights = trainer.network.get_weights()
    return [np.mean(naive_energy(float64_logits(weights, x))) for x in (IMAGES, OUTLIERS)]


@by_name
def test_training_moves_the_energies_apart(name):
    weight = 2.0
    control = trained_energies(OBJECTIVES[name](two_layers(), weight=0.0), 40)
    ours = trained_energies(OBJECTIVES[name](two_layers(), weight=weight), 40)
    assert ours[1] - ours[0] > control[1] - control[0] + 0.1


def test_the_mean_energies_are_weighted_alike_in_a_partial_batch():
    network = two_layers()
    energies_out = naive_energy(float64_logits(network.get_weights(), OUTLIERS))
    trainer = compiled(OutlierExposure(network), learning_rate=0.0)
    batches = [(slice(0, 8), slice(0, 16)), (slice(8, 12), slice(8, 24))]
    data = (({"images": IMAGES[x], "outliers": OUTLIERS[y]}, LABELS[x]) for x, y in batches)
    logged = trainer.fit(data, steps_per_epoch=2, shuffle=False, verbose=0).history
    expected = np.mean([*energies_out[:16], *energies_out[8:]])
    assert logged["energy_out"] == [pytest.approx(expected, rel=1e-5)]
    assert logged["energy"] == [pytest.approx(measured(network)["energy"], rel=1e-5)]


@by_name
def test_mixed_precision_measures_in_float32(name):
    logged = fit_pair(compiled(OBJECTIVES[name](two_layers("mixed_bfloat16"))))
    exact = fit_pair(compiled(OBJECTIVES[name](two_layers())))
    for quantity in ("loss", "ce", "energy_out"):
        assert logged[quantity] == pytest.approx(exact[quantity], rel=3e-2)


@by_name
def test_training_batches_without_outliers_are_refused(name):
    with pytest.raises(ValueError, match='Expected batches of {"images", "outliers"}'):
        fit(compiled(OBJECTIVES[name](two_layers())))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin_in": -3.0, "margin_out": -4.0}, "margin_in=-3.0, margin_out=-4.0"),
        ({"margin_in": -3.0, "margin_out": -3.0}, "margin_in < margin_out"),
        ({"margin_in": float("nan"), "margin_out": -3.0}, "Received: margin_in=nan"),
        ({**MARGINS, "weight": -0.1}, "weight >= 0. Received: weight=-0.1"),
    ],
)
def test_margins_out_of_order_and_negative_weights_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EnergyFineTuning(two_layers(), **arguments)


def test_the_default_weights_are_the_references():
    trainers = {name: make(two_layers()) for name, make in OBJECTIVES.items()}
    weights = {name: float(trainer.weight) for name, trainer in trainers.items()}
    assert weights == pytest.approx(WEIGHTS)
    assert all(isinstance(trainer, OutlierTraining) for trainer in trainers.values())


def test_logit_norm_minimises_its_loss_and_logs_the_plain_cross_entropy():
    network = two_layers()
    logits = float64_logits(network.get_weights(), IMAGES)
    logged = fit(compiled(LogitNormFineTuning(network), how="graph"))
    assert set(logged) == {"loss", "ce", "accuracy", "energy"}
    expected = np.mean(naive_logit_norm(LABELS, logits))
    ce = np.mean(naive_cross_entropy(LABELS, logits))
    assert abs(expected - ce) > 0.1
    assert logged["loss"] == [pytest.approx(expected, rel=1e-5)]
    assert logged["ce"] == [pytest.approx(ce, rel=1e-5)]


def test_logit_norm_validates_by_the_plain_cross_entropy():
    network = two_layers()
    logged = fit(compiled(LogitNormFineTuning(network)), validation_data=(IMAGES, LABELS))
    ce = measured(network)["ce"]
    assert logged["val_loss"] == logged["val_ce"] == [pytest.approx(ce, rel=1e-5)]


def test_logit_norm_does_not_train_the_length_of_the_logits():
    """Scaling the head scales the gradient of what is below by nothing."""
    steps = []
    for scale in (1.0, 10.0):
        network = two_layers()
        *below, kernel, bias = network.get_weights()
        network.set_weights([*below, scale * kernel, scale * bias])
        fit(compiled(LogitNormFineTuning(network), learning_rate=0.01))
        steps.append(network.get_weights()[0] - below[0])
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-3, atol=1e-6)
    assert np.abs(steps[0]).max() > 1e-4


def test_a_temperature_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="temperature > 0. Received: temperature=0.0"):
        LogitNormFineTuning(two_layers(), temperature=0.0)
