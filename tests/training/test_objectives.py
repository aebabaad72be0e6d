import numpy as np
import pytest
import tensorflow as tf
from naive_objectives import (
    naive_cross_entropy,
    naive_energy,
    naive_hinges,
    naive_logit_norm,
    naive_uniform_cross_entropy,
)

from kerasood.training import objectives

LOGITS = np.random.default_rng(0).normal(0, 4, (20, 7)).astype("float32")
LABELS = np.arange(20) % 7


FUNCTIONS = {
    "energy": (objectives.energy, naive_energy(LOGITS)),
    "cross_entropy": (
        lambda logits: objectives.cross_entropy(LABELS, logits),
        naive_cross_entropy(LABELS, LOGITS),
    ),
    "l1_norm": (objectives.l1_norm, np.abs(LOGITS.astype("float64")).sum(axis=1)),
    "energy_hinge_in": (
        lambda logits: objectives.energy_hinge_in(objectives.energy(logits), -5.0),
        naive_hinges(naive_energy(LOGITS), -5.0, 0.0)[0],
    ),
    "energy_hinge_out": (
        lambda logits: objectives.energy_hinge_out(objectives.energy(logits), -6.0),
        naive_hinges(naive_energy(LOGITS), 0.0, -6.0)[1],
    ),
    "uniform_cross_entropy": (
        objectives.uniform_cross_entropy,
        naive_uniform_cross_entropy(LOGITS),
    ),
    "logit_norm": (
        lambda logits: objectives.logit_norm(LABELS, logits),
        naive_logit_norm(LABELS, LOGITS),
    ),
}
by_function = pytest.mark.parametrize(("function", "expected"), FUNCTIONS.values(), ids=FUNCTIONS)


def test_energy_worked_by_hand():
    energies = objectives.energy(np.log([[1.0, 3.0], [2.0, 6.0]]))
    np.testing.assert_allclose(energies, [-np.log(4), -np.log(8)], rtol=1e-6)
    # -2 * log(exp(log 1) + exp(log 3)) of logits that are twice as large.
    cooled = objectives.energy(2 * np.log([[1.0, 3.0]]), temperature=2.0)
    np.testing.assert_allclose(cooled, [-2 * np.log(4)], rtol=1e-6)


def test_cross_entropy_worked_by_hand():
    logits = np.log([[1.0, 3.0], [1.0, 3.0]])
    losses = objectives.cross_entropy(np.array([0, 1]), logits)
    np.testing.assert_allclose(losses, [np.log(4), np.log(4 / 3)], rtol=1e-6)


def test_l1_norm_worked_by_hand():
    activations = np.array([[1.0, -2.5, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(objectives.l1_norm(activations), [3.5, 0.0])


def test_energy_hinges_worked_by_hand():
    energies = np.array([-10.0, -8.0, -5.0, -1.0])
    np.testing.assert_array_equal(objectives.energy_hinge_in(energies, -8.0), [0, 0, 9, 49])
    np.testing.assert_array_equal(objectives.energy_hinge_out(energies, -5.0), [25, 9, 0, 0])
    # The twins' logits have energies on both sides of both margins.
    for margin in (-5.0, -6.0):
        assert 0 < np.mean(naive_energy(LOGITS) > margin) < 1


def test_uniform_cross_entropy_worked_by_hand():
    # Probabilities 1/4 and 3/4: -(ln 1/4 + ln 3/4) / 2.
    logits = np.log([[1.0, 3.0], [5.0, 5.0]])
    expected = [(np.log(4) + np.log(4 / 3)) / 2, np.log(2)]
    np.testing.assert_allclose(objectives.uniform_cross_entropy(logits), expected, rtol=1e-6)


def test_logit_norm_worked_by_hand():
    # Of norm 5; at temperature 1 the logits are 0.6 and 0.8, whatever their length was.
    for length in (0.5, 1.0, 100.0):
        logits = length * np.array([[3.0, 4.0]])
        loss = objectives.logit_norm(np.array([0]), logits, temperature=1.0)
        np.testing.assert_allclose(loss, [np.log(1 + np.exp(0.2))], rtol=1e-6)
    # At 0.04 they are 15 and 20.
    loss = objectives.logit_norm(np.array([0]), np.array([[3.0, 4.0]]))
    np.testing.assert_allclose(loss, [np.log(1 + np.exp(5))], rtol=1e-6)


def test_logit_norm_of_zero_logits_is_a_number_and_has_a_gradient():
    logits = tf.zeros((1, 4))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = objectives.logit_norm(tf.constant([2]), logits)
    np.testing.assert_allclose(loss, [np.log(4)], rtol=1e-6)
    assert np.isfinite(tape.gradient(loss, logits)).all()


@by_function
def test_gradients_equal_finite_differences_in_float64(function, expected):
    logits = LOGITS.astype("float64")
    tensor = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        total = tf.reduce_sum(function(tensor))
    gradient = np.asarray(tape.gradient(total, tensor))
    step = 1e-5
    for column in range(7):
        moved = step * np.eye(7)[column]
        up, down = (np.asarray(function(logits + sign * moved)) for sign in (1, -1))
        np.testing.assert_allclose(
            gradient[:, column], (up - down) / (2 * step), rtol=1e-4, atol=1e-6
        )
    assert np.any(gradient != 0)


@by_function
def test_functions_equal_their_float64_twins(function, expected):
    assert expected.shape == (20,)
    np.testing.assert_allclose(function(LOGITS), expected, rtol=1e-5, atol=1e-6)


@by_function
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_compiled_functions_equal_their_twins_for_any_batch(function, expected, jit_compile):
    signature = [tf.TensorSpec((None, 7), tf.float32)]
    compiled = tf.function(function, input_signature=signature, jit_compile=jit_compile)
    np.testing.assert_allclose(compiled(LOGITS), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 100.0])
def test_energy_equals_its_twin_at_any_temperature(temperature):
    expected = naive_energy(LOGITS, temperature)
    np.testing.assert_allclose(objectives.energy(LOGITS, temperature), expected, rtol=1e-5)


def test_energy_lies_between_the_largest_logit_and_that_plus_log_k():
    energies = np.asarray(objectives.energy(LOGITS))
    largest = LOGITS.max(axis=1)
    assert np.all(-energies >= largest)
    assert np.all(-energies <= largest + np.log(7))


def test_a_constant_added_to_all_logits_moves_energy_and_not_cross_entropy():
    moved = LOGITS + 5
    np.testing.assert_allclose(
        objectives.energy(moved), np.asarray(objectives.energy(LOGITS)) - 5, rtol=1e-5
    )
    np.testing.assert_allclose(
        objectives.cross_entropy(LABELS, moved),
        objectives.cross_entropy(LABELS, LOGITS),
        rtol=1e-4,
        atol=1e-5,
    )


def test_huge_logits_do_not_overflow():
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [3e38, 0.0, -3e38]], "float32")
    expected = [-1e4, 1e4 - np.log(3), -3e38]
    np.testing.assert_allclose(objectives.energy(tf.constant(logits)), expected, rtol=1e-6)
    with np.errstate(over="ignore"):  # the smallest less the largest, whose exponential is 0
        np.testing.assert_allclose(objectives.energy(logits), expected, rtol=1e-6)
    losses = objectives.cross_entropy(np.array([1, 0, 0]), tf.constant(logits))
    np.testing.assert_allclose(losses, [2e4, np.log(3), 0.0], rtol=1e-3)


def test_the_gradient_of_the_energy_is_minus_the_softmax():
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = tf.reduce_sum(objectives.energy(logits))
    exponentials = np.exp(LOGITS.astype("float64"))
    expected = -exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tape.gradient(total, logits), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_labels_of_any_integer_type_give_the_same_cross_entropy(dtype):
    np.testing.assert_array_equal(
        objectives.cross_entropy(LABELS.astype(dtype), LOGITS),
        objectives.cross_entropy(LABELS, LOGITS),
    )


@pytest.mark.parametrize("labels", [np.eye(7)[LABELS], LABELS[:, None]], ids=["one-hot", "column"])
def test_labels_that_are_not_one_class_per_image_are_refused(labels):
    with pytest.raises(ValueError, match=r"labels of shape \(N,\).*Received: shape=\(20, [17]\)"):
        objectives.cross_entropy(labels, LOGITS)
