import keras
import numpy as np
import pytest
from naive_objectives import naive_energy
from tiny_models import random_images, small_network

from kerasood.training.trainers import energy as margins
from kerasood.training.trainers.energy import derived_margins


def pixel_network():
    """Logits (v, v, v, v) of an image whose first pixel is v: energy -(v + ln 4)."""
    images = keras.Input((2, 2, 3), dtype="uint8")
    first = keras.layers.Flatten()(images)[:, :1]
    dense = keras.layers.Dense(4, kernel_initializer="ones")
    return keras.Model(images, dense(keras.ops.cast(first, "float32")))


def images_of(values):
    return np.broadcast_to(np.array(values, "uint8")[:, None, None, None], (len(values), 2, 2, 3))


def test_margins_are_quantiles_worked_by_hand():
    network = pixel_network()
    # Energies -(100 ... 200) - ln 4 and -(0 ... 100) - ln 4, in shuffled order.
    values = np.random.default_rng(0).permutation(101)
    margin_in, margin_out = derived_margins(network, images_of(values + 100), images_of(values))
    assert margin_in == pytest.approx(-195 - np.log(4), abs=0.006)
    assert margin_out == pytest.approx(-5 - np.log(4), abs=0.006)
    assert margin_in == round(margin_in, 2) and margin_out == round(margin_out, 2)


def test_margins_are_those_of_a_twin_in_inference():
    network = small_network()
    images = random_images((8, 8, 3), num_images=60)
    outliers = images[:40] // 2 + 60
    network(images, training=True)
    energies_in, energies_out = (
        naive_energy(np.asarray(network(x, training=False))) for x in (images, outliers)
    )
    found = derived_margins(network, images, outliers)
    expected = np.quantile(energies_in, 0.05), np.quantile(energies_out, 0.95)
    np.testing.assert_allclose(found, expected, atol=0.006)
    assert np.mean(energies_in > found[0]) > 0.9 and np.mean(energies_out < found[1]) > 0.9
    assert found == derived_margins(network, images, outliers)


def test_a_large_set_is_sampled_from_all_of_it(monkeypatch):
    monkeypatch.setattr(margins, "NUM_IMAGES", 100)
    # Sorted, as a folder of classes is: its first hundred would all be 10 or 0.
    images = images_of(np.repeat([10, 250], 400))
    outliers = images_of(np.repeat([9, 0], 400))
    margin_in, margin_out = derived_margins(pixel_network(), images, outliers)
    assert margin_in == pytest.approx(-250 - np.log(4), abs=0.006)
    assert margin_out == pytest.approx(-np.log(4), abs=0.006)


def test_a_base_that_finds_the_outliers_more_familiar_is_refused():
    with pytest.raises(ValueError, match="lower energies .*margin_in=-4.39, margin_out=-9.39"):
        derived_margins(pixel_network(), images_of([3] * 10), images_of([8] * 10))
