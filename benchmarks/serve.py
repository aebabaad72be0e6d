"""How long each runtime takes to answer, against the fastest.

    python -m benchmarks.serve --depth=40 --width=2

Every runtime is a process of its own, since in one their thread pools disturb each other; rounds
go through them in alternating order, one at a time, since other work on the machine slows all. A
ratio is the median over rounds of its seconds against the fastest runtime's of the same round.
On a busy machine compare with --threads=1, by processor time: threads that wait for each other
suffer most from other work.
"""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from kerasood.commands.common import console, run_command  # first: silences TensorFlow's import

import keras  # isort: skip

from benchmarks.serve_worker import RUNTIMES, images_of
from kerasood.config import option
from kerasood.detectors import Energy
from kerasood.export import eager_outputs, export_model
from kerasood.export.formats.saved_model import write_endpoints
from kerasood.export.graph.endpoints import build_endpoints
from kerasood.networks.wide_resnet import WideResNet
from kerasood.serving import OODModel


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """What `python -m benchmarks.serve` measures."""

    depth: int = option(40, "Depth of the WideResNet.")
    width: int = option(2, "Width of the WideResNet.")
    batch_sizes: tuple[int, ...] = option((1, 64), "Images in a request.")
    runtimes: tuple[str, ...] = option(("all",), "Runtimes: all that are installed, or names.")
    rounds: int = option(15, "Rounds, after one that warms up.")
    images: int = option(128, "Images that a runtime answers for in a round, roughly.")
    threads: int = option(2, "Threads of each runtime.")


def main(config):
    """Exports a network, measures and prints."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_artefacts(config, pathlib.Path(folder))
        wanted = RUNTIMES if config.runtimes == ("all",) else config.runtimes
        commands = {name: paths[RUNTIMES[name][0]] for name in wanted if RUNTIMES[name][0] in paths}
        seconds = measure(commands, config)
    console.print(f"WRN-{config.depth}-{config.width}, {config.threads} threads")
    for batch_size, of_batch in seconds.items():
        console.print(f"\nbatch {batch_size}, {config.rounds} rounds")
        console.print(table(of_batch, batch_size))


def write_artefacts(config, folder):
    """{kind: path} of the same model in every format, and the scores that each must give."""
    network = WideResNet(config.depth, config.width, 10)
    network(images_of(64), training=True)
    model = OODModel(network, Energy(), 0.0)
    scores = eager_outputs(model, images_of(8))["score"]
    np.save(folder / "expected.npy", scores)
    paths = {"keras": folder / "model.keras"}
    model.save(paths["keras"])
    exported = export_model(model, folder, images=images_of(8))
    paths |= {name: folder / path for name, path in exported.paths.items()}
    # Beside the files, and beside the folder that the SavedModel is.
    for place in (exported.folder, exported.folder.parent):
        np.save(place / "expected.npy", scores)
    paths["unfolded"] = folder / "unfolded"
    write_endpoints(build_endpoints(model), paths["unfolded"])
    return {kind: str(path) for kind, path in paths.items()}


def measure(commands, config):
    """Times runtimes in alternation.

    Args:
        commands: {name of a runtime: path of its file}.
        config: ServeConfig.

    Returns:
        {batch size: {name: (rounds, 2) seconds of a request, by the clock and of processors}}.
    """
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(_worker(name, path, config.threads))
            for name, path in commands.items()
        }
        seconds = {}
        for batch_size in config.batch_sizes:
            repeats = max(1, config.images // batch_size)
            for name in workers:
                _ask(workers[name], batch_size, repeats)
            seconds[batch_size] = {name: np.zeros((config.rounds, 2)) for name in workers}
            for number in range(config.rounds):
                for name in sorted(workers, reverse=number % 2 == 1):
                    taken = _ask(workers[name], batch_size, repeats)
                    seconds[batch_size][name][number] = taken
        return seconds


@contextlib.contextmanager
def _worker(name, path, threads):
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_NUM_INTRAOP_THREADS", None)
    command = [sys.executable, "-m", "benchmarks.serve_worker", name, path, str(threads)]
    process = subprocess.Popen(
        command,
        env={**environment, **RUNTIMES[name][2]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        if process.stdout.readline() != "ready\n":
            raise ValueError(f"Expected answers from {name}. Received: none, or wrong ones")
        yield process
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()


def _ask(process, batch_size, repeats):
    process.stdin.write(f"{batch_size} {repeats}\n")
    process.stdin.flush()
    return [float(value) for value in process.stdout.readline().split()]


def table(seconds, batch_size):
    """Lines of text, the fastest runtime first; ratios to it by the clock, and of processor time.

    Args:
        seconds: {name: (rounds, 2) seconds of a request, by the clock and of the processors}.
        batch_size: int.
    """
    medians = {name: np.median(values, axis=0) for name, values in seconds.items()}
    ordered = sorted(seconds, key=lambda name: medians[name][0])
    lines = [f"{'runtime':<24}{'ms':>9}{'images/s':>10}{'ratio':>8}{'quartiles':>15}{'CPU':>8}"]
    for name in ordered:
        ratios = seconds[name] / seconds[ordered[0]]
        low, middle, high = np.quantile(ratios[:, 0], [0.25, 0.5, 0.75])
        clock = medians[name][0]
        lines.append(
            f"{name:<24}{1000 * clock:>9.2f}{batch_size / clock:>10,.0f}{middle:>8.2f}"
            f"{f'{low:.2f}-{high:.2f}':>15}{np.median(ratios[:, 1]):>8.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    run_command(ServeConfig, main)
