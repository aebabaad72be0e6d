"""What each detector adds to an exported SavedModel: bytes, and time over the logits alone.

    python -m benchmarks.export --depth=16 --width=2

Times are of the processor and of one thread, in alternation; the ratio is the median over rounds.
Two exports of the logits alone show the noise. Ends with an error when energy costs more than its
limit beyond that noise.
"""

import dataclasses
import pathlib
import sys
import tempfile

import numpy as np

from kerasood.commands.common import console, run_command  # first: silences TensorFlow's import

from benchmarks.serve_worker import images_of, saved_model  # isort: skip
from benchmarks.timing import alternating_seconds
from kerasood.config import option
from kerasood.detectors import DETECTORS
from kerasood.export import export_saved_model
from kerasood.export.saved_model import write_archive
from kerasood.models.extractor import build_extractor, head_of
from kerasood.models.folding import fold_batch_norm
from kerasood.models.wide_resnet import WideResNet
from kerasood.outputs import collect
from kerasood.serving import OODModel

LOGITS = "logits alone"
LOGITS_AGAIN = "logits alone, again"


@dataclasses.dataclass(frozen=True)
class ExportBenchmarkConfig:
    """What `python -m benchmarks.export` measures."""

    depth: int = option(16, "Depth of the WideResNet.")
    width: int = option(2, "Width of the WideResNet.")
    detectors: tuple[str, ...] = option(("all",), "Detectors: all, or names.")
    batch_size: int = option(64, "Images in a request.")
    rounds: int = option(15, "Rounds.")
    training_images: int = option(1000, "Images that detectors are fitted on.")
    largest_cost: float = option(0.01, "Limit of energy over logits alone, beyond the noise.")


def main(config):
    """Measures, prints, and says whether the limit was not kept."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_all(config, pathlib.Path(folder))
        size = {name: _bytes(path) for name, path in paths.items()}
        runs = {name: saved_model(str(path), 1) for name, path in paths.items()}
        images = images_of(config.batch_size)
        ways = {name: lambda run=run: run(images) for name, run in runs.items()}
        for way in ways.values():
            way()
        seconds = alternating_seconds(ways, config.rounds)
    costs = {name: costs_of(values, seconds[LOGITS]) for name, values in seconds.items()}
    console.print(f"WRN-{config.depth}-{config.width}, batches of {config.batch_size}, one thread")
    console.print(f"{'':<24}{'KB more':>10}{'time more %':>14}{'quartiles':>20}")
    for name, (low, middle, high) in costs.items():
        more = (size[name] - size[LOGITS]) / 1000
        quartiles = f"{100 * low:.1f} to {100 * high:.1f}"
        console.print(f"{name:<24}{more:>10,.1f}{100 * middle:>14.1f}{quartiles:>20}", markup=False)
    low, _, high = costs[LOGITS_AGAIN]
    noise = max(abs(low), abs(high))
    if "energy" in costs and costs["energy"][1] > config.largest_cost + noise:
        sys.exit(f"limit not kept: energy costs {100 * costs['energy'][1]:.1f} %")


def costs_of(seconds, bare):
    """Quartiles over rounds of the processor time beyond the bare one, as a share of it."""
    return np.quantile(seconds[:, 1] / bare[:, 1] - 1, [0.25, 0.5, 0.75])


def write_all(config, folder):
    """{name: path} of SavedModels: the logits alone, twice, and with each detector."""
    network = WideResNet(config.depth, config.width, 10)
    network(images_of(64), training=True)
    extractor = build_extractor(network)
    outputs = collect(extractor, [images_of(config.training_images)])
    labels = np.arange(config.training_images) % 10
    folded = fold_batch_norm(extractor)
    paths = {name: folder / name for name in (LOGITS, LOGITS_AGAIN)}
    for path in paths.values():
        write_archive(
            lambda images: {"logits": folded(images, training=False)["logits"]},
            network.input_shape[1:],
            path,
        )
    for name in _names(config):
        detector = DETECTORS[name]().fit(outputs, labels, head_of(extractor))
        paths[name] = folder / name
        export_saved_model(OODModel(folded, detector, 0.0), paths[name], {})
    return paths


def _names(config):
    if config.detectors != ("all",):
        return config.detectors
    return [name for name, kind in DETECTORS.items() if not kind().missing(("features", "logits"))]


def _bytes(folder):
    files = [folder / "saved_model.pb", *folder.glob("variables/*")]
    return sum(file.stat().st_size for file in files)


if __name__ == "__main__":
    run_command(ExportBenchmarkConfig, main)
