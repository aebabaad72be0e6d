"""The whole evaluation against its limits: the forward pass alone, and seconds for the metrics.

    python -m benchmarks.evaluate

The evaluation reads .npz files, fits and scores every detector that takes no gradient, calibrates
thresholds and measures; against it stands nothing but the compiled forward pass over the same
images in memory. Rounds alternate; the ratio is the median over rounds. Then the metrics alone:
ten draws of six sets for ten detectors. Ends with an error when a limit is not kept.
"""

import dataclasses
import pathlib
import sys
import tempfile
import time

import numpy as np

from kerasood.commands.common import console, run_command  # first: silences TensorFlow's import

import keras  # isort: skip

from benchmarks.score import compiled_forward
from benchmarks.timing import alternating_seconds
from kerasood.config import option
from kerasood.data.built_in import GeneratedSource
from kerasood.data.open import open_source
from kerasood.detectors import DETECTORS
from kerasood.evaluation import protocols
from kerasood.evaluation.measure import Settings, measure
from kerasood.evaluation.subject import Subject, divide
from kerasood.extractor.build import build_extractor, head_of
from kerasood.networks.wide_resnet import WideResNet

NUM_SETS, NUM_DETECTORS = 6, 10


@dataclasses.dataclass(frozen=True)
class EvaluateBenchmarkConfig:
    """What `python -m benchmarks.evaluate` measures."""

    depth: int = option(40, "Depth of the WideResNet.")
    width: int = option(2, "Width of the WideResNet.")
    train_images: int = option(1500, "Training images that detectors are fitted on.")
    test_images: int = option(500, "In-distribution test images.")
    ood_images: int = option(250, "Images of each of six OOD sets.")
    detectors: tuple[str, ...] = option(("all",), "Detectors: all without a gradient, or names.")
    rounds: int = option(5, "Rounds; 0 leaves the evaluation out.")
    largest_ratio: float = option(1.1, "Limit of evaluation / forward pass.")
    scores: int = option(10_000, "ID scores, and of each OOD set, for the metrics alone; 0: none.")
    most_seconds: float = option(2.0, "Limit of the metrics alone.")


def main(config):
    """Measures, prints, and says which limits were not kept."""
    missed = []
    console.print(f"Keras {keras.__version__} on {keras.backend.backend()}")
    if config.rounds:
        seconds = measure_evaluation(config)
        each = {name: np.median(values[:, 0]) for name, values in seconds.items()}
        ratio = np.median(seconds["evaluation"] / seconds["forward"], axis=0)
        console.print(
            f"\nWRN-{config.depth}-{config.width}, {len(detectors_of(config))} detectors: "
            f"evaluation {each['evaluation']:.2f} s, forward pass alone {each['forward']:.2f} s\n"
            f"ratio {ratio[0]:.3f} by the clock, {ratio[1]:.3f} by processor time; limit "
            f"{config.largest_ratio:g}"
        )
        if ratio[0] > config.largest_ratio:
            missed.append(f"the evaluation takes {ratio[0]:.3f} times the forward pass")
    if config.scores:
        taken = measure_metrics(config.scores)
        console.print(
            f"\nmetrics of ten draws x {NUM_SETS} sets x {NUM_DETECTORS} detectors: {taken:.2f} s, "
            f"limit {config.most_seconds:g} s"
        )
        if taken > config.most_seconds:
            missed.append(f"the metrics take {taken:.2f} s")
    if missed:
        sys.exit(f"limits not kept: {'; '.join(missed)}")


def detectors_of(config):
    """The detectors to evaluate; of "all" those that read features and logits alone."""
    if config.detectors != ("all",):
        return {name: DETECTORS[name]() for name in config.detectors}
    made = {name: kind() for name, kind in DETECTORS.items()}
    usual = {"features", "logits"}
    return {
        name: detector
        for name, detector in made.items()
        if not detector.input_step and set(detector.reads) <= usual
    }


def measure_evaluation(config):
    """Times the evaluation and the forward pass over the same images.

    Returns:
        {"evaluation", "forward"}: (rounds, 2) seconds by the clock and of the processors.
    """
    extractor = build_extractor(WideResNet(config.depth, config.width, 10))
    with tempfile.TemporaryDirectory() as folder:
        arrays = _images(config)
        for name, (images, labels) in arrays.items():
            np.savez_compressed(pathlib.Path(folder, f"{name}.npz"), images=images, labels=labels)
        forward = compiled_forward(extractor)
        resident = [
            keras.ops.convert_to_tensor(images[start : start + 250])
            for images, _ in arrays.values()
            for start in range(0, len(images), 250)
        ]
        ways = {
            "evaluation": lambda: _evaluate(extractor, folder, arrays, config),
            "forward": lambda: [forward(batch) for batch in resident],
        }
        for way in ways.values():
            way()
        return alternating_seconds(ways, config.rounds)


def _images(config):
    counts = {"train": config.train_images, "test": config.test_images}
    counts |= {f"ood{number}": config.ood_images for number in range(NUM_SETS)}
    return {
        name: (
            GeneratedSource("photos", num_images=count, seed=seed).load()[0],
            np.arange(count) % 10,
        )
        for seed, (name, count) in enumerate(counts.items())
    }


def _evaluate(extractor, folder, names, config):
    # Divisible files would be split: "ood" means all of a file's images.
    sources = {name: open_source(str(pathlib.Path(folder, f"{name}.npz")), "ood") for name in names}
    training, test = sources.pop("train"), sources.pop("test")
    subject = Subject(
        "model", "model", "", extractor, divide(test, training), head=head_of(extractor)
    )
    return measure(subject, sources, detectors_of(config), Settings("paper", tune=False))


def measure_metrics(num_scores):
    """Seconds for the metrics of the paper's protocol: ten draws, six sets, ten detectors."""
    generator = np.random.default_rng(0)
    scores = [
        [generator.normal(shift, 1, num_scores).astype("float32") for shift in range(NUM_SETS + 1)]
        for _ in range(NUM_DETECTORS)
    ]
    protocol = protocols.find("paper")
    start = time.perf_counter()
    for scores_in, *scores_out in scores:
        for number, values in enumerate(scores_out):
            protocol.evaluate(scores_in, values, f"set {number}", seed=1)
    return time.perf_counter() - start


if __name__ == "__main__":
    run_command(EvaluateBenchmarkConfig, main)
