"""Training on images that stay on the device: many steps in one compiled call, JAX alone.

The training set is sent to the device once, as uint8; a step gathers its images there by their rows
in the order of `kerasood.training.shuffling`: the steps are those of Keras's own loop, number for
number, without a Python loop and without sending images between them.

What was compiled is kept, for further seeds and resumed runs of the same configuration, in the
folder that JAX_COMPILATION_CACHE_DIR names.
"""

import concurrent.futures
import functools
import itertools

import keras
import numpy as np

from kerasood.training.batches import Batches

# What the images may take of the memory that is free: the network's activations need the rest.
SHARE = 0.5
# Where the device does not say what is free, as on the CPU.
UNKNOWN_FREE = 2 * 2**30


def resident_arrays(batches):
    """The training arrays on the device, in the form of a batch.

    Args:
        batches: Batches.

    Returns:
        (images (N, H, W, 3) uint8, labels (N,) int32), or with outliers
        ({"images": ..., "outliers": (M, H, W, 3) uint8}, labels); None on another backend than JAX,
        on several devices, or where they do not fit: then batches are sent one by one.
    """
    if keras.backend.backend() != "jax" or keras.distribution.distribution() is not None:
        return None
    import jax

    images, outliers = batches.images, batches.outliers
    num_bytes = images.nbytes + (0 if outliers is None else outliers.nbytes)
    if num_bytes > SHARE * _free_bytes(jax.local_devices()[0]):
        return None
    if outliers is not None:
        images = {"images": images, "outliers": outliers}
        if batches.kind.needs_rows:
            rows = {"rows": len(batches.images), "rows_out": len(outliers)}
            images |= {name: np.arange(n, dtype="int32") for name, n in rows.items()}
    return jax.device_put((images, batches.labels))


def _free_bytes(device):
    memory = device.memory_stats()
    return memory["bytes_limit"] - memory["bytes_in_use"] if memory else UNKNOWN_FREE


def steps_per_call(num_steps):
    """Steps of an epoch of `num_steps` that one compiled call takes: all, on the CPU one.

    On the CPU, XLA's convolutions inside a loop are slow: a WRN-10-1 took ten times as long.
    """
    import jax

    return 1 if jax.default_backend() == "cpu" else num_steps


class RowCalls(keras.utils.PyDataset):
    """The rows of each compiled call of an epoch, in the order of Batches.

    Args:
        batches: Batches of the arrays.
        steps: int, steps of a call: 1, or all of an epoch.

    Items: (groups,): a tuple of batches as in `resident_arrays`, of rows (S, B) int32 in the place
    of arrays; the last, partial batch of an epoch is a group of its own. Keras counts steps, and
    asks ahead for calls after an epoch's last: they are empty.
    """

    def __init__(self, batches, steps):
        super().__init__()
        rows = np.arange(len(batches.images), dtype="int32")
        outliers = batches.outliers
        outliers = None if outliers is None else np.arange(len(outliers), dtype="int32")
        self.batches = Batches(
            rows, rows, batches.batch_size, batches.seed, outliers, batches.kind
        )
        self.steps = steps

    def begin_epoch(self, epoch, pool=None):
        self.batches.begin_epoch(epoch, pool)

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, call):
        steps = range(len(self))[call * self.steps : (call + 1) * self.steps]
        groups = itertools.groupby(map(self.batches.__getitem__, steps), lambda one: len(one[1]))
        return (tuple(_stacked(list(group)) for _, group in groups),)


def _stacked(batches):
    return keras.tree.map_structure(lambda *rows: np.stack(rows), *batches)


def train_function(trainer, arrays):
    """Function for `keras.Model.fit` that runs on items of `RowCalls` instead of batches.

    Args:
        trainer: compiled keras.Model on the JAX backend.
        arrays: of `resident_arrays`.

    Returns:
        function of (state, iterator) -> (logs after the last step, state), to be the trainer's
        `train_function`.
    """
    import jax

    function = jax.jit(functools.partial(take_steps, trainer), donate_argnums=0)
    programs = {}

    def run(state, iterator):
        (groups,) = next(iterator)
        new = {rows[1].shape: rows for rows in groups if rows[1].shape not in programs}
        if new:
            programs.update(_compiled(function, state, arrays, new))
        for rows in groups:
            logs, state = programs[rows[1].shape](state, arrays, rows)
        return logs, state

    return run


def _compiled(function, state, arrays, groups):
    """{shape: program} of {shape: rows}, compiled side by side: it takes longer than to trace."""
    lowered = [function.lower(state, arrays, rows) for rows in groups.values()]
    with concurrent.futures.ThreadPoolExecutor() as threads:
        programs = threads.map(lambda one: one.compile(), lowered)
        return dict(zip(groups, programs, strict=True))


def take_steps(trainer, state, arrays, rows):
    """One training step after the other; a pure function, to be compiled.

    Args:
        trainer: compiled keras.Model on the JAX backend.
        state: (trainable, non-trainable, optimiser's, metrics') values of its variables.
        arrays: of `resident_arrays`.
        rows: the same structure, (S, B) int32 each.

    Returns:
        (logs after the last step, state).
    """
    import jax

    def step(state, chosen):
        batch = jax.tree.map(lambda array, places: array[places], arrays, chosen)
        logs, state = trainer.train_step(state, batch)
        return state, logs

    if len(rows[1]) == 1:
        # No loop, for the CPU's sake: see `steps_per_call`.
        state, logs = step(state, jax.tree.map(lambda places: places[0], rows))
        return logs, state
    state, logs = jax.lax.scan(step, state, rows)
    return jax.tree.map(lambda values: values[-1], logs), state
