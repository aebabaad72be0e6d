"""Images a second of our training against Keras's own loop, PyTorch's, and what the device allows.

    python -m benchmarks.train
    python -m benchmarks.train --depth=16 --images=640 --precision=float32     on a CPU

PyTorch runs eager and compiled, in float32 and in bfloat16: what counts is its best. Every
contender is a process of its own that trains WRN-DEPTH-WIDTH on random images, dropout, crops and
flips included; rounds of one epoch go through them in alternating order, one at a time. A ratio is
the median over rounds of images a second against ours of the same round.

The limit of arithmetic counts three times the network's products and sums (forward, and the
gradients for inputs and weights). The limit of memory counts how often activations pass between
chip and memory, each as one number of the compute type: PASSES for what a convolution makes and
ADD_PASSES for a block's sum. Peaks are the maker's where PEAKS has the device, else measured: a
large matrix product, and a large copy.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import typing

import numpy as np

from benchmarks.train_worker import CONTENDERS
from kerasood.commands.common import console, run_command
from kerasood.config import option

# Forward: written, read for its statistics, read to be normalised, written again, read by the next
# convolution. Backward: its gradient written, read for two products (with the input read again),
# read beside it for the sums of batch norm, read beside it and written again.
PASSES = 14
# Two read and one written; the gradient of the shortcut added.
ADD_PASSES = 4
EPOCH = 50_000


@dataclasses.dataclass(frozen=True)
class TrainBenchmarkConfig:
    """What `python -m benchmarks.train` measures."""

    depth: int = option(40, "Depth of the WideResNet.")
    width: int = option(2, "Width of the WideResNet.")
    dropout: float = option(0.3, "Dropout inside its blocks.")
    batch_size: int = option(128, "Images in a training step.")
    precision: str = option(
        "mixed_bfloat16", "Compute type of all but PyTorch, which has both.",
        ("float32", "mixed_bfloat16"),
    )
    images: int = option(EPOCH, "Images in an epoch; fewer on a CPU.")
    rounds: int = option(5, "Epochs that are timed, after one that compiles.")
    models: int = option(3, "Models that `kerasood, together` trains at once.")
    contenders: tuple[str, ...] = option(("all",), "Contenders: all that are installed, or names.")


def main(config):
    """Measures and prints."""
    limits = _limits(config)
    names = CONTENDERS if config.contenders == ("all",) else config.contenders
    seconds = measure(names, config)
    console.print(
        f"\nWRN-{config.depth}-{config.width}, batch {config.batch_size}, {config.precision}, "
        f"{config.images:,} images, {config.rounds} rounds on {limits['device']}\n"
        f"limits of {EPOCH:,} images: {limits['arithmetic']:.3f} s by arithmetic, "
        f"{limits['memory']:.3f} s by memory ({limits['source']})\n"
    )
    console.print(table(seconds, config, max(limits["arithmetic"], limits["memory"])))


def _limits(config):
    """Asks a process of its own, since it occupies the device."""
    with _worker("limits", config) as worker:
        answer = json.loads(worker.answer())
    return answer | epoch_limits(answer, config.precision)


def epoch_limits(answer, precision):
    """Seconds that EPOCH images take at least, {"arithmetic", "memory"}.

    Args:
        answer: {"macs": products of a forward pass of an image, "convolved", "added": numbers that
            its convolutions and its sums make, "flops", "bandwidth": of the device, a second}.
        precision: of the training.
    """
    size = 2 if precision == "mixed_bfloat16" else 4
    moved = size * (PASSES * answer["convolved"] + ADD_PASSES * answer["added"])
    return {
        "arithmetic": EPOCH * 3 * 2 * answer["macs"] / answer["flops"],
        "memory": EPOCH * moved / answer["bandwidth"],
    }


def measure(names, config):
    """Times contenders in alternation.

    Args:
        names: contenders; one that cannot run here is left out with a word.
        config: TrainBenchmarkConfig.

    Returns:
        {name: (rounds, 2) seconds of an epoch, by the clock and of the processors}.
    """
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:
            worker = stack.enter_context(_worker(name, config))
            # One after the other, so that no compilation disturbs another.
            line = worker.answer()
            if line == "ready":
                workers[name] = worker
            else:
                console.print(f"{name} {line}")
        seconds = {name: np.zeros((config.rounds, 2)) for name in workers}
        for number in range(config.rounds):
            for name in sorted(workers, reverse=number % 2 == 1):
                workers[name].tell("epoch")
                seconds[name][number] = json.loads(workers[name].answer())
        return seconds


@contextlib.contextmanager
def _worker(name, config):
    # Several processes share the device's memory.
    sharing = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.train_worker", name],
            env={**os.environ, **sharing},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        worker = _Worker(name, process, errors)
        try:
            worker.tell(json.dumps(dataclasses.asdict(config)))
            yield worker
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait()


@dataclasses.dataclass(frozen=True)
class _Worker:
    name: str
    process: subprocess.Popen
    errors: typing.TextIO

    def tell(self, line):
        print(line, file=self.process.stdin, flush=True)

    def answer(self):
        line = self.process.stdout.readline().strip()
        if not line:
            self.errors.seek(0)
            *_, last = self.errors.read().splitlines() or ["nothing"]
            raise ValueError(f"Expected an answer from {self.name}. Received: {last}")
        return line


def table(seconds, config, limit):
    """Lines of text, the fastest first.

    Args:
        seconds: {name: (rounds, 2) seconds of an epoch, by the clock and of the processors}.
        config: TrainBenchmarkConfig.
        limit: float, seconds that EPOCH images take at least.
    """
    rates = {
        name: config.images * CONTENDERS[name].models(config) / values
        for name, values in seconds.items()
    }
    ours = rates.get("kerasood", np.full((config.rounds, 2), np.nan))
    lines = [
        f"{'contender':<28}{'images/s':>10}{f's per {EPOCH:,}':>14}{'of limit':>10}"
        f"{'ratio':>8}{'quartiles':>13}{'CPU':>7}"
    ]
    for name in sorted(rates, key=lambda name: -np.median(rates[name][:, 0])):
        rate = np.median(rates[name][:, 0])
        ratios = rates[name] / ours
        low, middle, high = np.quantile(ratios[:, 0], [0.25, 0.5, 0.75])
        lines.append(
            f"{name:<28}{rate:>10,.0f}{EPOCH / rate:>14.2f}{limit * rate / EPOCH:>10.1%}"
            f"{middle:>8.2f}{f'{low:.2f}-{high:.2f}':>13}{np.median(ratios[:, 1]):>7.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(TrainBenchmarkConfig, main)
