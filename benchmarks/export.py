"""What each detector adds to an exported file: bytes, and time over the logits alone.

    python -m benchmarks.export --depth=16 --width=2 --format=saved_model

The logits alone are exported in the same way, but without the guards against empty batches and
other shapes; what `model.export()` writes is shown beside them. Times are of the processor and of
one thread. Each file takes turns with the logits alone, request by request: comparisons with a file
that ran seconds before found 4 % once and 1 % the next time. A second file of the logits alone
shows the noise, and one of logits and energy what the energy costs without all else. Ends with an
error when energy costs more than its limit beyond that noise.
"""

import dataclasses
import pathlib
import sys
import tempfile

import numpy as np

from kerasood.commands.common import console, run_command  # first: silences TensorFlow's import

import keras  # isort: skip
import tensorflow as tf

from benchmarks.serve_worker import images_of, saved_model, tflite
from benchmarks.timing import alternating_seconds
from kerasood.config import option
from kerasood.detectors import DETECTORS
from kerasood.evaluation.outputs import collect
from kerasood.export import FORMATS
from kerasood.export.formats.saved_model import write_archive
from kerasood.export.graph.folding import fold_batch_norm
from kerasood.extractor.build import build_extractor, head_of, output_names
from kerasood.networks.decomposed_head import DeconfHead
from kerasood.networks.wide_resnet import WideResNet
from kerasood.quiet import quiet
from kerasood.serving import OODModel
from kerasood.training import objectives

LOGITS = "logits alone"
LOGITS_AGAIN = "logits alone, again"
WITH_ENERGY = "logits and energy alone"
USUAL = "logits, model.export()"
RUNTIMES = {"saved_model": saved_model, "tflite": tflite}


@dataclasses.dataclass(frozen=True)
class ExportBenchmarkConfig:
    """What `python -m benchmarks.export` measures."""

    depth: int = option(16, "Depth of the WideResNet.")
    width: int = option(2, "Width of the WideResNet.")
    format: str = option("saved_model", "saved_model or tflite.")
    detectors: tuple[str, ...] = option(("all",), "Detectors: all, or names.")
    batch_size: int = option(64, "Images in a request.")
    images: int = option(64, "Images that are answered for in a round, roughly.")
    rounds: int = option(11, "Rounds of each pair.")
    training_images: int = option(1000, "Images that detectors are fitted on; KNN keeps them all.")
    largest_cost: float = option(0.01, "Limit of energy over logits alone, beyond the noise.")


def main(config):
    """Measures, prints, and says whether the limit was not kept."""
    console.print(
        f"WRN-{config.depth}-{config.width}, {config.format}, batches of {config.batch_size}, "
        "one thread"
    )
    console.print(f"{'':<24}{'KB more':>10}{'time more %':>14}{'quartiles':>20}")
    with tempfile.TemporaryDirectory() as folder:
        paths = write_all(config, pathlib.Path(folder))
        bare = _way(paths[LOGITS], config)
        costs = {}
        for name in list(paths)[1:]:
            costs[name] = measured(bare, _way(paths[name], config), config.rounds)
            more = (_bytes(paths[name]) - _bytes(paths[LOGITS])) / 1000
            console.print(table_row(name, more, costs[name]))
    low, _, high = costs[LOGITS_AGAIN]
    noise = max(abs(low), abs(high))
    if "energy" in costs and costs["energy"][1] > config.largest_cost + noise:
        sys.exit(f"limit not kept: energy costs {100 * costs['energy'][1]:.1f} %")


def _way(path, config):
    """A function that answers requests with one file, warm."""
    run = RUNTIMES[config.format](str(path), 1)
    images = images_of(config.batch_size)

    def answer():
        for _ in range(max(1, config.images // config.batch_size)):
            run(images)

    answer()
    return answer


def measured(bare, way, rounds):
    """Quartiles of what `way` takes beyond `bare`, each timed beside the other."""
    seconds = alternating_seconds({"bare": bare, "way": way}, rounds)
    return costs_of(seconds["way"], seconds["bare"])


def table_row(name, more, cost):
    low, middle, high = 100 * cost
    return f"{name:<24}{more:>10,.1f}{middle:>14.1f}{f'{low:.1f} to {high:.1f}':>20}"


def costs_of(seconds, bare):
    """Quartiles over rounds of the processor time beyond the bare one, as a share of it."""
    return np.quantile(seconds[:, 1] / bare[:, 1] - 1, [0.25, 0.5, 0.75])


def write_all(config, folder):
    """{name: path} of files: the logits alone, twice, and with each detector."""
    network = WideResNet(config.depth, config.width, 10)
    network(images_of(64), training=True)
    extractors = extractors_of(network)
    write_logits, write_model = WRITERS[config.format]
    suffix = ".tflite" if config.format == "tflite" else ""
    paths = {name: folder / f"{name}{suffix}" for name in (LOGITS, LOGITS_AGAIN)}
    for path in paths.values():
        write_logits(extractors[0], path)
    paths[WITH_ENERGY] = folder / f"with_energy{suffix}"
    write_logits(extractors[0], paths[WITH_ENERGY], energy=True)
    if config.format == "saved_model":
        paths[USUAL] = folder / "usual"
        with quiet():
            network.export(str(paths[USUAL]), verbose=False)
    labels = np.arange(config.training_images) % 10
    outputs = {}
    for name in DETECTORS if config.detectors == ("all",) else config.detectors:
        detector = DETECTORS[name]()
        if config.format == "tflite" and detector.input_step:
            continue
        extractor = extractor_for(detector, extractors)
        if extractor not in outputs:
            outputs[extractor] = collect(extractor, [images_of(config.training_images)])
        detector.fit(outputs[extractor], labels, head_of(extractors[0]))
        paths[name] = folder / f"{name}{suffix}"
        write_model(extractor, detector, paths[name])
    return paths


def extractors_of(network):
    """Models of ever more outputs; for every detector there is one that gives what it reads.

    The first gives features and logits, the others hidden layers, a second head, a
    reject class, or the parts of G-ODIN's head too.
    """
    plain = build_extractor(network)
    images, outputs = plain.inputs, plain.output
    second = keras.layers.Dense(10, name="second")(outputs["features"])
    rejects = keras.layers.Dense(1, name="rejects")(outputs["features"])
    parts = DeconfHead(10, name="deconf")(outputs["features"])
    return [
        plain,
        build_extractor(network, hidden_layers="auto"),
        keras.Model(images, {**outputs, "logits_2": second}),
        keras.Model(images, {**outputs, "reject_logits": rejects}),
        keras.Model(images, {**outputs, **parts}),
    ]


def extractor_for(detector, extractors):
    """The first extractor that gives all that a detector reads."""
    return next(model for model in extractors if not detector.missing(output_names(model)))


def _saved_logits(extractor, path, energy=False):
    _write_logits(fold_batch_norm(extractor), path, energy)


def _write_logits(extractor, path, energy):
    def answer(images):
        logits = extractor(images, training=False)["logits"]
        energies = {"energy": objectives.energy(logits)} if energy else {}
        return {"logits": logits, **energies}

    write_archive(answer, extractor.inputs[0].shape[1:], path)


def _saved_model(extractor, detector, path):
    FORMATS["saved_model"].write(OODModel(extractor, detector, 0.0), path, {})


def _tflite_logits(extractor, path, energy=False):
    with quiet(), tempfile.TemporaryDirectory() as folder:
        _write_logits(extractor, folder, energy)
        path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


def _tflite(extractor, detector, path):
    FORMATS["tflite"].write(OODModel(extractor, detector, 0.0), path, {})


WRITERS = {"saved_model": (_saved_logits, _saved_model), "tflite": (_tflite_logits, _tflite)}


def _bytes(path):
    files = [path] if path.is_file() else [path / "saved_model.pb", *path.glob("variables/*")]
    return sum(file.stat().st_size for file in files)


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    run_command(ExportBenchmarkConfig, main)
