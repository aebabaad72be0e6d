"""Scoring files against its limits: bare decoding and a bare forward pass.

    python -m benchmarks.score_files --network=zoo:cifar10-wrn10-1-base

Rounds alternate, since other work on the machine slows all of them. The ratio is that of the slower
limit's seconds to ours, without those of opening the model, which are measured apart. Each limit
alone takes every core that there is: where the same cores decode and compute both add up, so the
sum of the two is printed as well. `--apart` gives decoding and computing one thread each, as where
the network has a processor of its own; there the slower one alone is the limit, given two cores.
"""

import dataclasses
import itertools
import os
import pathlib
import tempfile

import numpy as np
from PIL import Image

from benchmarks.timing import alternating_seconds
from kerasood.commands.common import console, run_command  # first: silences TensorFlow's import
from kerasood.config import option
from kerasood.data.decoding import WORKERS
from kerasood.detectors import Energy
from kerasood.export import export_model
from kerasood.networks import zoo
from kerasood.networks.wide_resnet import WideResNet
from kerasood.scoring import score_files
from kerasood.scoring.inputs import entries
from kerasood.scoring.models import open_scorer
from kerasood.scoring.rows import decoded
from kerasood.serving import OODModel


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """What `python -m benchmarks.score_files` measures."""

    network: str = option("wrn-40-2", "wrn-DEPTH-WIDTH with random weights, or zoo:NAME.")
    images: int = option(2000, "Number of files.")
    size: int = option(256, "Height and width of the JPEG files, pixels.")
    batch_size: int = option(64, "Images in a forward pass.")
    rounds: int = option(5, "Passes of each kind.")
    apart: bool = option(False, "Whether decoding and computing have one thread each.")


def main(config):
    """Measures and prints."""
    if config.apart:
        # Read when TensorFlow makes its first device.
        os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        photos = make_photos(folder / "photos", config.images, config.size)
        exported = export_model(
            OODModel(make_network(config.network), Energy(), 0.0),
            folder, images=np.zeros((2, 32, 32, 3), "uint8"), formats=("saved_model",),
        )
        with open_scorer(exported.folder, config.batch_size) as scorer:
            seconds = alternating_seconds(
                _ways(scorer, exported.folder, photos, config, folder), config.rounds
            )
    clock = {name: np.median(values[:, 0]) for name, values in seconds.items()}
    clock["ours"] -= clock.pop("opening")
    decoding, forward, ours = clock["decoding"], clock["forward"], clock["ours"]
    for name, value in clock.items():
        console.print(f"{name:10s}{value:8.2f} s, {config.images / value:8,.0f} images a second")
    console.print(f"opening the model, not in ours: {np.median(seconds['opening'][:, 0]):.2f} s")
    console.print(f"slower limit / ours    {max(decoding, forward) / ours:.2f}")
    console.print(f"sum of limits / ours   {(decoding + forward) / ours:.2f}")


def _ways(scorer, model, photos, config, folder):
    blank = np.zeros((config.batch_size, *scorer.image_shape), "uint8")
    numbers = itertools.count()
    threads = 1 if config.apart else WORKERS

    def opening():
        with open_scorer(model, config.batch_size) as opened:
            opened.answer(blank)

    def decode_all():
        stream = entries(photos)
        for _ in decoded(stream, scorer.image_shape, 2 * config.batch_size, threads):
            pass

    def forward():
        for _ in range(0, config.images, config.batch_size):
            scorer.answer(blank)

    def ours():
        out = folder / f"{next(numbers)}.csv"
        score_files(
            model, photos, out, batch_size=config.batch_size, threads=threads, verbose=0
        )

    for warm_up in (forward, decode_all):
        warm_up()
    return {"decoding": decode_all, "forward": forward, "opening": opening, "ours": ours}


def make_photos(folder, number, size):
    """Writes JPEG files of soft colours; returns the folder."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (number, 16, 16, 3), np.uint8)
    for index, pixels in enumerate(small):
        image = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)
        image.save(folder / f"{index:06d}.jpg", quality=90)
    return folder


def make_network(name):
    """The network of "wrn-DEPTH-WIDTH", weights random, or "zoo:NAME"."""
    if name.startswith("zoo:"):
        return zoo.load(name.removeprefix("zoo:"))
    _, depth, width = name.split("-")
    return WideResNet(int(depth), int(width), 10)


if __name__ == "__main__":
    run_command(BenchmarkConfig, main)
