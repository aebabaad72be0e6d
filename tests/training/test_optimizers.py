import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasood.training.optimizers import NesterovSGD, cosine_schedule


class Rates(keras.optimizers.schedules.LearningRateSchedule):
    """0.5, 0.1, 0.02: one learning rate per step."""

    def __call__(self, step):
        return 0.5 * 0.2 ** keras.ops.cast(step, "float32")


def stepped(optimizer, weight, gradients):
    """The weights after each step on given gradients."""
    variable = keras.Variable(np.array([weight], "float32"))
    history = []
    for gradient in gradients:
        optimizer.apply([np.array([gradient], "float32")], [variable])
        history.append(float(variable[0]))
    return history


def test_two_steps_worked_by_hand():
    optimizer = NesterovSGD(0.1, momentum=0.5, l2=0.2)
    # g = 1 + 0.2 * 2 = 1.4; v = 1.4; w = 2 - 0.1 * (1.4 + 0.5 * 1.4) = 1.79.
    # g = -1 + 0.2 * 1.79 = -0.642; v = 0.5 * 1.4 - 0.642 = 0.058;
    # w = 1.79 - 0.1 * (-0.642 + 0.5 * 0.058) = 1.8513.
    np.testing.assert_allclose(stepped(optimizer, 2.0, [1.0, -1.0]), [1.79, 1.8513], rtol=1e-6)


def test_the_velocity_does_not_carry_past_learning_rates():
    optimizer = NesterovSGD(Rates(), momentum=0.5, l2=0.0)
    # v = 1; w = 0 - 0.5 * 1.5 = -0.75. Then g = 0, v = 0.5; w = -0.75 - 0.1 * 0.25 = -0.775.
    np.testing.assert_allclose(stepped(optimizer, 0.0, [1.0, 0.0]), [-0.75, -0.775], rtol=1e-6)
    keras_sgd = keras.optimizers.SGD(Rates(), momentum=0.5, nesterov=True)
    assert stepped(keras_sgd, 0.0, [1.0, 0.0])[1] == pytest.approx(-0.875)


def test_without_momentum_a_step_is_plain_gradient_descent_with_l2():
    # w = 2 - 0.1 * (1 + 0.5 * 2) = 1.8, then 1.8 - 0.1 * (1 + 0.5 * 1.8) = 1.61.
    optimizer = NesterovSGD(0.1, momentum=0.0, l2=0.5)
    np.testing.assert_allclose(stepped(optimizer, 2.0, [1.0, 1.0]), [1.8, 1.61], rtol=1e-6)


def test_the_decay_is_about_ten_times_that_of_keras():
    ours = stepped(NesterovSGD(0.01, l2=0.05), 1.0, [0.0] * 300)
    keras_sgd = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.05)
    theirs = stepped(keras_sgd, 1.0, [0.0] * 300)
    assert theirs[-1] == pytest.approx((1 - 0.01 * 0.05) ** 300, rel=1e-4)
    assert 9 < np.log(ours[-1]) / np.log(theirs[-1]) < 10.5


def network_with_every_kind_of_parameter():
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3),
        ]
    )
    for variable in network.trainable_variables:
        variable.assign(np.random.default_rng(variable.shape[0]).normal(size=variable.shape))
    return network


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_three_steps_equal_a_float64_twin_on_kernels_biases_and_batch_norm(compiled):
    network = network_with_every_kind_of_parameter()
    optimizer = NesterovSGD(Rates(), momentum=0.9, l2=0.05)
    optimizer.build(network.trainable_variables)
    inputs = np.random.default_rng(1).normal(size=(8, 5)).astype("float32")
    labels = np.arange(8) % 3

    def step():
        with tf.GradientTape() as tape:
            logits = network(inputs, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            )
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(gradients)
        return gradients

    if compiled:
        step = tf.function(step)
    weights = [np.asarray(v, "float64") for v in network.trainable_variables]
    velocities = [np.zeros_like(weight) for weight in weights]
    for learning_rate in (0.5, 0.1, 0.02):
        for index, gradient in enumerate(step()):
            decayed = np.asarray(gradient, "float64") + 0.05 * weights[index]
            velocities[index] = 0.9 * velocities[index] + decayed
            weights[index] = weights[index] - learning_rate * (decayed + 0.9 * velocities[index])
    kinds = [variable.name for variable in network.trainable_variables]
    assert kinds == ["kernel", "bias", "gamma", "beta", "kernel", "bias"]
    for variable, expected in zip(network.trainable_variables, weights, strict=True):
        np.testing.assert_allclose(variable, expected, rtol=1e-4, atol=1e-6, err_msg=variable.path)


def test_a_configuration_comes_back_and_steps_alike():
    optimizer = NesterovSGD(cosine_schedule(0.1, 1e-6, 5), momentum=0.8, l2=0.03)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(copy, NesterovSGD)
    assert (copy.momentum, copy.l2) == (0.8, 0.03)
    assert stepped(copy, 1.0, [1.0, 2.0, 3.0]) == stepped(optimizer, 1.0, [1.0, 2.0, 3.0])


def test_a_negative_decay_is_refused():
    with pytest.raises(ValueError, match="l2 >= 0. Received: l2=-0.1"):
        NesterovSGD(l2=-0.1)


def test_the_cosine_falls_per_step_to_its_last_value():
    schedule = cosine_schedule(0.1, 1e-6, 100)
    rates = [float(schedule(step)) for step in range(102)]
    assert rates[0] == pytest.approx(0.1)
    # A quarter of the way: (1 + cos 45 degrees) / 2 = 0.853553.
    assert rates[25] == pytest.approx(1e-6 + (0.1 - 1e-6) * 0.853553, rel=1e-5)
    assert rates[50] == pytest.approx((0.1 + 1e-6) / 2, rel=1e-5)
    assert rates[100] == rates[101] == pytest.approx(1e-6, rel=1e-2)
    assert np.all(np.diff(rates[:101]) < 0)


def test_the_optimizer_uses_the_learning_rate_of_its_step():
    optimizer = NesterovSGD(cosine_schedule(0.2, 1e-6, 2), momentum=0.0, l2=0.0)
    # Learning rates 0.2, 0.1, 1e-6 on gradients of one.
    np.testing.assert_allclose(stepped(optimizer, 1.0, [1.0] * 3), [0.8, 0.7, 0.7], rtol=1e-5)
