"""One way of training in a process of its own, for `benchmarks.train`.

    python -m benchmarks.train_worker CONTENDER

Reads the TrainBenchmarkConfig as a line of JSON, trains an epoch, says "ready" (or why it cannot),
and answers every further line by the seconds of an epoch, by the clock and of the processors.
"""

import dataclasses
import functools
import importlib.util
import json
import sys
import time
import types
from collections.abc import Callable

import numpy as np

EPOCHS = 1000
NUM_CLASSES = 10
# Makers' figures of the SXM modules, dense: bfloat16 and TF32 FLOP/s, bytes/s of memory.
PEAKS = {"H100": (989e12, 495e12, 3.35e12), "H200": (989e12, 495e12, 4.8e12)}


class Unavailable(Exception):
    """A contender cannot run here; says why."""


def kerasood(config):
    """What train.py does, checkpoints aside."""
    trainer, batches, data = _prepared(config, seed=1)
    return lambda epoch: _fit(trainer, batches, epoch, config, data)


def together(config):
    """Several of them in the same compiled call, by vmap."""
    import keras

    if keras.backend.backend() != "jax":
        raise Unavailable("needs KERAS_BACKEND=jax")
    from benchmarks.side_by_side import SideBySide

    parts = [_prepared(config, seed) for seed in range(1, config.models + 1)]
    models = SideBySide([trainer for trainer, _, _ in parts], parts[0][1].batches)

    def epoch(number):
        for _, batches, _ in parts:
            batches.begin_epoch(number)
        models.train([batches[0] for _, batches, _ in parts])

    return epoch


def keras_fit(config):
    """The same layers in one model, by `keras.Model.fit` on arrays."""
    import keras

    from kerasood.networks.augmentation import RandomCropFlip

    keras.utils.set_random_seed(1)
    images, labels = random_set(config.images)
    entry = keras.Input(images.shape[1:], dtype="uint8")
    # Keras's own crop has one offset for a whole batch, and without TensorFlow runs nowhere.
    model = keras.Sequential([entry, RandomCropFlip(4, True, seed=1), _network(config)])
    steps = -(-config.images // config.batch_size)
    model.compile(
        keras.optimizers.SGD(
            keras.optimizers.schedules.CosineDecay(0.1, steps * EPOCHS),
            momentum=0.9,
            nesterov=True,
            weight_decay=5e-4,
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    fit = {"batch_size": config.batch_size, "verbose": 0}
    return lambda epoch: model.fit(images, labels, **fit, initial_epoch=epoch, epochs=epoch + 1)


def pytorch(config, compiled, precision):
    """Everything on the device, channels_last; by torch.compile or not, in autocast or not."""
    if importlib.util.find_spec("torch") is None:
        raise Unavailable("not installed: pip install torch")
    from benchmarks.train_torch import epoch_function

    return epoch_function(config, *random_set(config.images), NUM_CLASSES, compiled, precision)


@dataclasses.dataclass(frozen=True)
class Contender:
    """A way of training.

    Attributes:
        make: function of a config -> function of the epoch's number.
        models: function of a config -> how many models it trains in an epoch.
    """

    make: Callable
    models: Callable = lambda config: 1


CONTENDERS = {
    "kerasood": Contender(kerasood),
    "kerasood, together": Contender(together, lambda config: config.models),
    "keras fit": Contender(keras_fit),
    **{
        f"pytorch {way} {precision}": Contender(
            functools.partial(
                pytorch, compiled=way == "compiled", precision=f"{prefix}{precision}"
            )
        )
        for way in ("eager", "compiled")
        for prefix, precision in (("", "float32"), ("mixed_", "bfloat16"))
    },
}


def random_set(num_images):
    """Images uint8 (N, 32, 32, 3) of noise and labels int32 (N,)."""
    images = np.random.default_rng(0).integers(0, 256, (num_images, 32, 32, 3), dtype=np.uint8)
    return images, np.arange(num_images, dtype="int32") % NUM_CLASSES


def _network(config):
    from kerasood.networks.wide_resnet import WideResNet

    return WideResNet(
        config.depth, config.width, NUM_CLASSES, config.dropout, dtype=config.precision
    )


def _prepared(config, seed):
    import keras

    from kerasood.data.splits import TrainingData
    from kerasood.training import loop as training
    from kerasood.training.batches import Batches
    from kerasood.training.config import stage_config, train_config

    keras.utils.set_random_seed(seed)
    recipe = train_config(batch_size=config.batch_size, pretrain_epochs=EPOCHS, seed=seed)
    stage = stage_config(recipe, "pretrain")
    data = TrainingData(random_set(config.images), None, NUM_CLASSES, None)
    trainer = training.build_trainer(_network(config), stage)
    batches = Batches(*data.training, stage.batch_size, seed)
    return trainer, training.prepare(trainer, batches, stage), data


def _fit(trainer, batches, epoch, config, data):
    batches.begin_epoch(epoch)
    trainer.fit(
        batches,
        initial_epoch=epoch,
        epochs=epoch + 1,
        steps_per_epoch=-(-config.images // config.batch_size),
        shuffle=False,
        verbose=0,
    )


def limits(config):
    """What `benchmarks.train.epoch_limits` takes, with the device's name and the peaks' source."""
    device = _device_name()
    peaks = next((peaks for name, peaks in PEAKS.items() if name in device), None)
    if peaks is None:
        flops, bandwidth = _measured_peaks(config.precision)
        source = f"peaks measured: {flops / 1e9:,.0f} GFLOP/s, {bandwidth / 1e9:,.1f} GB/s"
    else:
        half, single, bandwidth = peaks
        flops = half if config.precision == "mixed_bfloat16" else single
        source = "the maker's peaks"
    peaks = {"flops": flops, "bandwidth": bandwidth, "device": device, "source": source}
    return peaks | work(_network(config))


def work(network):
    """What one image costs in a forward pass: {"macs", "convolved", "added"}.

    Args:
        network: functional keras.Model; its convolutions, dense layers and sums are counted.
    """
    counts = {"macs": 0, "convolved": 0, "added": 0}
    for layer in network.layers:
        numbers = int(np.prod(layer.output.shape[1:]))
        kind = type(layer).__name__
        if kind in ("Conv2D", "Dense"):
            counts["macs"] += numbers * int(np.prod(layer.kernel.shape[:-1]))
        if kind == "Conv2D":
            counts["convolved"] += numbers
        elif kind == "Add":
            counts["added"] += numbers
    return counts


def _device_name():
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return "cpu"
    return tf.config.experimental.get_device_details(devices[0]).get("device_name", "GPU")


def _measured_peaks(precision, size=2048, copied=2**26, repeats=5):
    """(FLOP/s of a product of matrices, bytes/s of a copy): the best of a few."""
    from keras import ops

    dtype = "bfloat16" if precision == "mixed_bfloat16" else "float32"
    matrix, vector = ops.ones((size, size), dtype), ops.ones(copied, "float32")
    product = _best_seconds(lambda: ops.matmul(matrix, matrix), repeats)
    copy = _best_seconds(lambda: ops.negative(vector), repeats)
    return 2 * size**3 / product, 2 * 4 * copied / copy


def _best_seconds(call, repeats):
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        result = call()
        float(result[(0,) * len(result.shape)])  # waits for it
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def main(name):
    """Trains whenever it is asked to."""
    config = types.SimpleNamespace(**json.loads(sys.stdin.readline()))
    if name == "limits":
        print(json.dumps(limits(config)), flush=True)
        return
    try:
        train = CONTENDERS[name].make(config)
    except Unavailable as error:
        print(error, flush=True)
        return
    train(0)
    print("ready", flush=True)
    for epoch, _ in enumerate(sys.stdin, start=1):
        start = time.perf_counter(), time.process_time()
        train(epoch)
        end = time.perf_counter(), time.process_time()
        taken = [after - before for before, after in zip(start, end, strict=True)]
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
