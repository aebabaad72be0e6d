"""Several models in one compiled call on JAX: their steps side by side, by vmap."""

import functools

import jax

from kerasood.training.resident import resident_arrays, take_steps


class SideBySide:
    """Trains models of one structure together, each in its own order and from its own weights.

    Args:
        trainers: compiled keras.Models that differ in nothing but the values of their variables.
        batches: Batches of all of them.
    """

    def __init__(self, trainers, batches):
        self.trainers = trainers
        self.arrays = resident_arrays(batches)
        states = [state_of(trainer) for trainer in trainers]
        self._state = jax.tree.map(lambda *values: jax.numpy.stack(values), *states)
        steps = jax.vmap(functools.partial(take_steps, trainers[0]), in_axes=(0, None, 0))
        self._steps = jax.jit(steps, donate_argnums=0)

    def train(self, calls):
        """Takes the steps of one item of `RowCalls` per model; returns {metric: (models,)}."""
        per_model = [groups for (groups,) in calls]
        for groups in zip(*per_model, strict=True):
            rows = jax.tree.map(lambda *places: jax.numpy.stack(places), *groups)
            logs, self._state = self._steps(self._state, self.arrays, rows)
        return jax.device_get(logs)

    def assign(self):
        """Gives the models the values that they were trained to."""
        for number, trainer in enumerate(self.trainers):
            for variables, values in zip(_variables(trainer), self._state, strict=True):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value[number])


def state_of(trainer):
    """What `take_steps` calls the state: the values of a compiled and built keras.Model."""
    return tuple([variable.value for variable in part] for part in _variables(trainer))


def _variables(trainer):
    return (
        trainer.trainable_variables,
        trainer.non_trainable_variables,
        trainer.optimizer.variables,
        trainer.metrics_variables,
    )
