"""Scoring against its limits: a bare forward pass for speed, the outputs for memory.

    python -m benchmarks.score --depth=40 --width=2

Speed: the path of evaluate.py, from a compressed .npz on disk to outputs, against nothing but the
compiled forward pass over the same batches in memory. Rounds alternate, since other work on the
machine slows both; the ratio is the median over rounds. Memory: what scoring many images adds to
the process (Linux only). Ends with an error when a limit is not kept.
"""

import dataclasses
import pathlib
import re
import sys
import tempfile

import numpy as np

from kerasood.commands.common import console, run_command  # first: silences TensorFlow's import

import keras  # isort: skip

from benchmarks.timing import alternating_seconds
from kerasood.config import option
from kerasood.data.built_in import GeneratedSource
from kerasood.data.open import open_source
from kerasood.evaluation.outputs import collect, prefetched
from kerasood.extractor.build import build_extractor
from kerasood.networks.wide_resnet import WideResNet

LOWEST_RATIO = 0.9
OVERHEAD_MB = 100
PROCESS = pathlib.Path("/proc/self")


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """What `python -m benchmarks.score` measures."""

    depth: int = option(16, "Depth of the WideResNet that is timed.")
    width: int = option(1, "Width of the WideResNet that is timed.")
    batch_sizes: tuple[str, ...] = option(("250", "64"), "Images in a forward pass.")
    timed_images: int = option(2200, "Images in a pass that is timed.")
    rounds: int = option(15, "Passes of either kind; 0 leaves speed out.")
    images: int = option(100_000, "Images scored to measure memory; 0 leaves memory out.")


def image_batches(source, batch_size):
    """The images of a source, the next batch being read while the caller computes."""
    return prefetched(images for images, _ in source.batches(batch_size))


def main(config):
    """Measures, prints, and says which limits were not kept."""
    missed = []
    console.print(f"Keras {keras.__version__} on {keras.backend.backend()}")
    if config.images:
        memory = measure_memory(config.images)
        console.print(f"\nmemory, {config.images:,} images\n{memory}")
        if memory.growth_mb > memory.limit_mb:
            missed.append(f"memory grew by more than {memory.limit_mb:,.0f} MB")
    for batch_size in map(int, config.batch_sizes) if config.rounds else ():
        extractor = build_extractor(WideResNet(config.depth, config.width, 10))
        speed = measure_speed(extractor, config.timed_images, batch_size, config.rounds)
        network = f"WRN-{config.depth}-{config.width}"
        images = f"{config.timed_images:,} images in batches of {batch_size}"
        console.print(f"\nspeed, {network}, {images}\n{speed}")
        if speed.ratio[0] < LOWEST_RATIO:
            missed.append(f"batches of {batch_size} reach {speed.ratio[0]:.3f} of a bare pass")
    if missed:
        sys.exit(f"limits not kept: {'; '.join(missed)}")


@dataclasses.dataclass(frozen=True)
class Speed:
    """Seconds that each round took by the clock and of the processors, (rounds, 2) each."""

    num_images: int
    bare: np.ndarray
    ours: np.ndarray

    @property
    def ratio(self):
        """Throughput of ours / bare, the median over rounds: by the clock, by processor time."""
        return np.median(self.bare / self.ours, axis=0)

    def __str__(self):
        return (
            f"  bare forward pass  {self._rates(self.bare)}\n"
            f"  evaluate.py's path {self._rates(self.ours)}\n"
            f"  ratio {self.ratio[0]:.3f}; by processor time, which other work does not distort, "
            f"{self.ratio[1]:.3f}"
        )

    def _rates(self, seconds):
        rates = self.num_images / seconds[:, 0]
        return f"{np.median(rates):8,.0f} images/s, rounds: {' '.join(f'{r:,.0f}' for r in rates)}"


@dataclasses.dataclass(frozen=True)
class Memory:
    """What scoring added to the process at its peak, and what it could have held; 1e6 bytes."""

    images_mb: float
    outputs_mb: float
    growth_mb: float

    @property
    def limit_mb(self):
        return 1.25 * self.outputs_mb + OVERHEAD_MB

    def __str__(self):
        return (
            f"  images {self.images_mb:,.0f} MB, outputs {self.outputs_mb:,.0f} MB\n"
            f"  growth {self.growth_mb:,.0f} MB at its peak, limit {self.limit_mb:,.0f} MB"
        )


def measure_speed(extractor, num_images, batch_size, rounds):
    """Times evaluate.py's path and the bare forward pass in alternation.

    Args:
        extractor: keras.Model, uint8 (N, 32, 32, 3) -> {"features", "logits"}.
        num_images: int, images of a pass.
        batch_size: int.
        rounds: int, passes of either kind, after one that compiles.

    Returns:
        Speed.
    """
    images, _ = GeneratedSource("photos", num_images=num_images).load()
    starts = range(0, num_images, batch_size)
    resident = [keras.ops.convert_to_tensor(images[s : s + batch_size]) for s in starts]
    forward = compiled_forward(extractor)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "images.npz")
        np.savez_compressed(path, images=images)
        paths = {
            "bare": lambda: [forward(batch) for batch in resident],
            "ours": lambda: collect(extractor, image_batches(open_source(str(path)), batch_size)),
        }
        parts, outputs = paths["bare"](), paths["ours"]()
        for name, values in outputs.items():
            expected = np.concatenate([part[name] for part in parts])
            np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4)
        seconds = alternating_seconds(paths, rounds)
    return Speed(num_images, **seconds)


def compiled_forward(extractor):
    """Returns a function of images -> NumPy outputs with nothing around the compiled network."""
    if keras.backend.backend() == "jax":
        import jax

        # Copies, because Keras's own step deletes the arrays that it was given.
        variables = (extractor.trainable_variables, extractor.non_trainable_variables)
        weights = [[jax.numpy.copy(variable.value) for variable in part] for part in variables]
        compiled = jax.jit(
            lambda weights, images: extractor.stateless_call(*weights, images, training=False)[0]
        )
        return lambda images: jax.tree.map(np.asarray, compiled(weights, images))
    import tensorflow as tf

    compiled = tf.function(
        lambda images: extractor(images, training=False), jit_compile=extractor.jit_compile
    )
    return lambda images: {name: part.numpy() for name, part in compiled(images).items()}


def measure_memory(num_images, batch_size=250):
    """Memory while images made on the spot pass a small network with the outputs of a WRN-40-2."""
    images = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(128, 8, strides=8, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    extractor = build_extractor(keras.Model(images, keras.layers.Dense(10)(x)))
    source = GeneratedSource("uniform_noise", num_images=num_images)
    collect(extractor, [next(image_batches(source, batch_size))])
    (PROCESS / "clear_refs").write_text("5")  # forgets the peak so far
    before = _status_mb("VmRSS")
    outputs = collect(extractor, image_batches(source, batch_size))
    return Memory(
        images_mb=num_images * 32 * 32 * 3 / 1e6,
        outputs_mb=sum(values.nbytes for values in outputs.values()) / 1e6,
        growth_mb=_status_mb("VmHWM") - before,
    )


def _status_mb(field):
    return int(re.search(rf"{field}:\s+(\d+) kB", (PROCESS / "status").read_text())[1]) * 1024 / 1e6


if __name__ == "__main__":
    run_command(ScoreConfig, main)
