import numpy as np
import pytest
import tensorflow as tf

from kerasood import objectives

LOGITS = np.random.default_rng(0).normal(0, 4, (20, 7)).astype("float32")
LABELS = np.arange(20) % 7


def naive_energy(logits, temperature=1.0):
    scaled = np.asarray(logits, "float64") / temperature
    return -temperature * np.log(np.exp(scaled).sum(axis=1))


def naive_cross_entropy(labels, logits):
    exponentials = np.exp(np.asarray(logits, "float64"))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return -np.log(probabilities[np.arange(len(labels)), labels])


FUNCTIONS = {
    "energy": (objectives.energy, naive_energy(LOGITS)),
    "cross_entropy": (
        lambda logits: objectives.cross_entropy(LABELS, logits),
        naive_cross_entropy(LABELS, LOGITS),
    ),
    "l1_norm": (objectives.l1_norm, np.abs(LOGITS.astype("float64")).sum(axis=1)),
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
    energies = objectives.energy(logits)
    np.testing.assert_allclose(energies, [-1e4, 1e4 - np.log(3), -3e38], rtol=1e-6)
    losses = objectives.cross_entropy(np.array([1, 0, 0]), logits)
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
