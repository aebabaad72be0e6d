"""Detectors beside pytorch-ood's on the same arrays: seconds to fit and to score, as ratios.

    python -m benchmarks.detectors

Both start from the same NumPy arrays of features and logits and end with scores as a NumPy array.
pytorch-ood computes logits itself where it needs them beside features, since its methods take
features alone. Rounds alternate, and in each a short call is repeated; a ratio is the median over
rounds of ours / theirs, judged by processor time, which other work on the machine distorts less
than the clock. Every library that computes is given the same number of threads: TensorFlow,
PyTorch, and the BLAS and OpenMP of NumPy and scikit-learn. Ends with an error that names the
detectors slower than their peers. Without pytorch-ood it prints our own times.
"""

import dataclasses
import math
import sys
import time

import numpy as np
from threadpoolctl import threadpool_limits

from kerasood.commands.common import console, run_command  # first: silences TensorFlow's import

import keras  # isort: skip

from benchmarks.outputs import Classifier
from benchmarks.peers import HOW_TO_GET_IT, PAIRS, Theirs, pytorch_ood_detectors
from benchmarks.timing import alternating_seconds
from kerasood.config import option


@dataclasses.dataclass(frozen=True)
class DetectorsBenchmarkConfig:
    """What `python -m benchmarks.detectors` measures."""

    classes: int = option(10, "Classes.")
    features: int = option(128, "Features of an image.")
    fitted_images: int = option(50_000, "Images that detectors are fitted on.")
    scored_images: int = option(10_000, "Images that are scored.")
    detectors: tuple[str, ...] = option(("all",), "Detectors: all that both have, or names.")
    rounds: int = option(7, "Rounds.")
    threads: int = option(1, "Threads of TensorFlow, PyTorch, BLAS and OpenMP.")
    largest_ratio: float = option(1.05, "Limit of our seconds / pytorch-ood's: equal, with noise.")


def main(config):
    """Measures, prints, and says which detectors are slower than their peers."""
    names = PAIRS if config.detectors == ("all",) else config.detectors
    peer = _peer()
    limit_threads(config.threads, peer)
    console.print(
        f"Keras {keras.__version__} on {keras.backend.backend()}, {config.threads} thread(s); "
        f"fitted on {config.fitted_images:,} and scoring {config.scored_images:,} images with "
        f"{config.features} features and {config.classes} classes; limit {config.largest_ratio:g}"
    )
    missed = []
    with threadpool_limits(config.threads):
        for name in names:
            for task, seconds in measure(name, config, peer).items():
                timing = Timing(**seconds)
                console.print(f"{name:24} {task:6}{timing}")
                if timing.ratio is not None and timing.ratio[1] > config.largest_ratio:
                    missed.append(f"{name} takes {timing.ratio[1]:.2f} times as long to {task}")
    if peer is None:
        console.print(f"\nno peer to compare with: {HOW_TO_GET_IT}")
    if missed:
        sys.exit(f"slower than pytorch-ood: {'; '.join(missed)}")


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of each round by the clock and of the processors, (rounds, 2); None where not had."""

    ours: np.ndarray
    theirs: np.ndarray | None = None

    @property
    def ratio(self):
        """Ours / theirs, the median over rounds: by the clock, by processor time."""
        return None if self.theirs is None else np.median(self.ours / self.theirs, axis=0)

    def __str__(self):
        ours = f"ours {_milliseconds(self.ours)}"
        if self.ratio is None:
            return ours
        return (
            f"{ours}, theirs {_milliseconds(self.theirs)}, ratio {self.ratio[0]:.2f}; by processor "
            f"time {self.ratio[1]:.2f}"
        )


def _milliseconds(seconds):
    return f"{1000 * np.median(seconds[:, 0]):9.2f} ms"


def measure(name, config, peer):
    """Times a detector and its peer in alternation.

    Args:
        name: str, a name of `PAIRS`.
        config: DetectorsBenchmarkConfig.
        peer: the module pytorch_ood.detector, or None.

    Returns:
        {"fit", "score"}: {"ours", "theirs"}: (rounds, 2) seconds; "theirs" only where the peer has
        something to do, and no "fit" where neither has.
    """
    classifier = Classifier(config.classes, config.features)
    training = classifier.images(config.fitted_images, seed=1)
    outputs = classifier.images(config.scored_images, seed=2, share_out=0.4).outputs
    ours, head = PAIRS[name].ours(), (classifier.kernel, classifier.bias)
    fits = {"ours": lambda: ours.fit(training.outputs, training.labels, head)}
    scores = {"ours": lambda: np.asarray(ours.score(outputs))}
    if peer is not None:
        theirs = Theirs(PAIRS[name], peer, classifier)
        scores["theirs"] = lambda: theirs.score(outputs)
        if theirs.learns:
            fits["theirs"] = lambda: theirs.fit(training.outputs, training.labels)
    tasks = {"fit": fits, "score": scores} if ours.learns else {"score": scores}
    seconds = {}
    for task, ways in tasks.items():
        ways = {side: Repeated(way) for side, way in ways.items()}
        taken = alternating_seconds(ways, config.rounds)
        seconds[task] = {side: taken[side] / ways[side].calls for side in ways}
    return seconds


class Repeated:
    """Calls a function as often as makes a round long enough to be timed.

    Args:
        way: function without arguments; the first calls are made here, and do not count.
    """

    SHORTEST = 0.03  # seconds of a round

    def __init__(self, way):
        self._way = way
        way()
        start = time.perf_counter()
        way()
        self.calls = max(1, math.ceil(self.SHORTEST / (time.perf_counter() - start)))

    def __call__(self):
        for _ in range(self.calls):
            self._way()


def limit_threads(threads, peer):
    """Gives TensorFlow, before it has computed anything, and PyTorch that many threads."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            console.print("TensorFlow runs already: it keeps the threads that it has")
    if peer is not None:
        import torch

        torch.set_num_threads(threads)


def _peer():
    try:
        return pytorch_ood_detectors()
    except ImportError:
        return None


if __name__ == "__main__":
    run_command(DetectorsBenchmarkConfig, main)
