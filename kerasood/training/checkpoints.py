"""The whole state of a training run after an epoch, in one file that is never half-written."""

import json

import keras
import numpy as np

from kerasood.errors import InvalidInputError
from kerasood.files import atomic_path, open_npz


def state_of(trainer):
    """Copies weights, optimiser and random streams, so that training may go on.

    Args:
        trainer: compiled keras.Model with a built optimiser.

    Returns:
        list of NumPy arrays.
    """
    return host_copies(_state(trainer))


def save_state(path, state, history):
    """Writes a state and the history that led to it to an .npz file.

    Args:
        path: str or Path.
        state: list of arrays, of `state_of`.
        history: list of one dict of floats per finished epoch.
    """
    arrays = {f"{index:05d}": array for index, array in enumerate(state)}
    with atomic_path(path) as temporary:
        np.savez(temporary, history=np.array(json.dumps(history)), **arrays)


def load_state(path, trainer):
    """Restores what `save_state` wrote into a model of the same structure.

    Returns:
        list of one dict of floats per finished epoch.

    Raises:
        ValueError: the file is no checkpoint, or one of another model.
    """
    variables = _state(trainer)
    with open_npz(path, "a checkpoint") as stored:
        history = json.loads(str(stored["history"]))
        arrays = [stored[f"{index:05d}"] for index in range(len(stored.files) - 1)]
    shapes = [array.shape for array in arrays]
    if shapes != [tuple(variable.shape) for variable in variables]:
        raise InvalidInputError(
            f"Expected a checkpoint of model {trainer.network.name!r}, {len(variables)} arrays. "
            f"Received: {len(arrays)} arrays of other shapes in {path}"
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return history


def host_copies(variables):
    """Copies Keras variables to NumPy arrays; on JAX all at once, not each after the other."""
    values = [variable.value for variable in variables]
    if keras.backend.backend() == "jax":
        import jax

        values = jax.device_get(values)
    # Again a copy: on the CPU, PyTorch gives the memory of the tensor itself.
    return [np.array(keras.ops.convert_to_numpy(value)) for value in values]


def _state(trainer):
    metrics = {id(variable) for variable in trainer.metrics_variables}
    model = [variable for variable in trainer.variables if id(variable) not in metrics]
    return [*model, *trainer.optimizer.variables]
