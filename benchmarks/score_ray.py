"""Scoring on a Ray cluster: images a second by the number of workers, and what a million costs.

    python -m benchmarks.score_ray --network=zoo:cifar10-wrn10-1-base --workers=1,2 --price=0.05

A worker is a core here: with N workers the cluster and all that it starts are held to N cores.
Every number of workers is measured in a process of its own. Starting Ray is in the first pass,
which is not counted; the others start actors, as a job does.
"""

import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.score_files import make_network, make_photos
from kerasood.commands.common import console, run_command
from kerasood.config import option
from kerasood.detectors import Energy
from kerasood.export import export_model
from kerasood.scoring import score_files
from kerasood.serving import OODModel


@dataclasses.dataclass(frozen=True)
class RayBenchmarkConfig:
    """What `python -m benchmarks.score_ray` measures."""

    network: str = option("wrn-40-2", "wrn-DEPTH-WIDTH with random weights, or zoo:NAME.")
    images: int = option(8000, "Number of files.")
    size: int = option(256, "Height and width of the JPEG files, pixels.")
    workers: tuple[int, ...] = option((1, 2), "Numbers of workers, a core each.")
    rounds: int = option(3, "Passes, after one that is not counted.")
    price: float = option(0.05, "Price of a worker's hour, in the currency of the answer.")
    measure: str | None = option(None, "Folder of a run that this process is a part of.")


def main(config):
    """Measures in processes of their own, and prints."""
    if config.measure:
        print(_seconds(config))
        return
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_photos(folder / "photos", config.images, config.size)
        export_model(
            OODModel(make_network(config.network), Energy(), 0.0), folder / "exported",
            images=np.zeros((2, 32, 32, 3), "uint8"), formats=("saved_model",), model_name="m",
        )
        rates = {}
        for workers in config.workers:
            rates[workers] = config.images / _in_a_process(config, folder, workers)
            cost = 1e6 / rates[workers] / 3600 * config.price * workers
            console.print(
                f"{workers} workers: {rates[workers]:,.0f} images a second, "
                f"{rates[workers] / rates[config.workers[0]]:.2f} times the first; "
                f"a million images: {cost:.3f}"
            )


def _in_a_process(config, folder, workers):
    """Median seconds of a pass with so many workers, held to as many cores."""
    command = [
        sys.executable, "-m", "benchmarks.score_ray", f"--measure={folder}",
        f"--workers={workers}", f"--rounds={config.rounds}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _seconds(config):
    (workers,) = config.workers
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:workers])
    import ray

    ray.init(num_cpus=workers, log_to_driver=False, logging_level="error")
    folder, seconds = pathlib.Path(config.measure), []
    for number in range(config.rounds + 1):
        start = time.perf_counter()
        score_files(
            folder / "exported/m/1", folder / "photos", folder / f"{workers}-{number}.parquet",
            engine="ray", workers=workers,
        )
        seconds.append(time.perf_counter() - start)
    ray.shutdown()
    return float(np.median(seconds[1:]))


if __name__ == "__main__":
    run_command(RayBenchmarkConfig, main)
