"""All training objectives once, at equal steps from one small network, in one table.

    python -m experiments.training_methods --data_dir=DIR --out=runs/methods

Every objective fine-tunes the same base on the same CIFAR-10 images for the same number of steps
and is scored by its own detector on OOD sets that none of them saw. A result is a JSON file: a run
that was stopped goes on where it was, and `--table` prints what is there.
"""

import argparse
import json
import pathlib
import statistics
import time

import keras
import numpy as np

import kerasood
from kerasood import zoo
from kerasood.data import DataOptions, open_source
from kerasood.data.division import OUTLIERS
from kerasood.data.training_images import load_outliers
from kerasood.detectors import build
from kerasood.files import write_json
from kerasood.metrics import all_metrics
from kerasood.training import OBJECTIVES

BASE = "cifar10-wrn10-1-base"
SETS = ("textures", "svhn", "places365", "scenes_crop", "scenes_resize")
# Where the published value is for more images than there are here, or costs too much on a CPU.
SMALLER = {
    "udg": {"groups": 100},
    "confident_gan": {"gan_width": 8},
    "resampling": {"weighing_epochs": 2},
}


class Clock(keras.callbacks.Callback):
    """Processor seconds of every epoch, with what happens before it."""

    def on_train_begin(self, logs=None):
        self.seconds, self.start = [], time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        now = time.process_time()
        self.seconds.append(now - self.start)
        self.start = now


def images_of(arguments):
    """{"train", "test": (images, labels), "outliers": images, set name: images}."""
    options = DataOptions(data_dir=arguments.data_dir, download=False)
    images = {
        "train": _sample("cifar10", "train", arguments.images, options),
        "test": _sample("cifar10", "test", arguments.test_images, options),
        "outliers": load_outliers(open_source("outliers", OUTLIERS, options)),
    }
    return images | {
        name: _sample(name, "test", arguments.test_images // 2, options)[0] for name in SETS
    }


def _sample(name, split, count, options):
    source = open_source(name, split, options)
    rows = np.random.default_rng(0).permutation(source.num_images)[:count]
    return source.subset(np.sort(rows)).load()


def trained(objective, seed, images, arguments):
    """(network, processor seconds of each epoch) of the base fine-tuned by an objective."""
    base, clock = zoo.load(BASE), Clock()
    if objective == "base":
        return base, []
    kind = OBJECTIVES[objective]
    network, _ = kerasood.fine_tune(
        base, *images["train"], objective,
        outliers=images["outliers"] if kind.needs_outliers else None,
        epochs=arguments.epochs, batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate, seed=seed, callbacks=[clock], verbose=0,
        **SMALLER.get(objective, {}),
    )
    return network, clock.seconds


def measured(objective, network, images):
    """Accuracy, and means over the OOD sets of FPR95 and AUROC by detector."""
    own = "energy" if objective == "base" else OBJECTIVES[objective].scored_by
    detectors = dict.fromkeys((own, "energy"))
    found = kerasood.benchmark(
        network, {"test": images["test"]}, {name: images[name] for name in SETS},
        {name: build(name) for name in detectors}, verbose=0,
    )
    (model,) = found.results.to_json()["models"]
    scores = found.scores
    means = {}
    for name in detectors:
        values = [
            all_metrics(scores["model", name, "in"], scores["model", name, ood]) for ood in SETS
        ]
        means[name] = {
            metric: statistics.mean(float(each[metric]) for each in values)
            for metric in ("fpr95", "auroc")
        }
    return {"accuracy": model["accuracy"], "own": own, "means": means}


def table(folder):
    """Markdown of the results in a folder."""
    results = {}
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))
        results.setdefault(stored["objective"], []).append(stored)
    lines = [
        "| objective | scored by | FPR95 | AUROC | with energy: FPR95 / AUROC | accuracy | cost |",
        "|---|---|---|---|---|---|---|",
    ]
    unit = _seconds(results["ce"]) if "ce" in results else None
    for objective in sorted(results, key=lambda name: ["base", *OBJECTIVES].index(name)):
        runs = results[objective]
        own = runs[0]["own"]
        cells = [
            _spread([run["means"][detector][metric] for run in runs])
            for detector in (own, "energy") for metric in ("fpr95", "auroc")
        ]
        cost = f"{_seconds(runs) / unit:.1f}" if unit and objective != "base" else ""
        accuracy = _spread([run["accuracy"] for run in runs])
        lines.append(
            f"| `{objective}` | `{own}` | {cells[0]} | {cells[1]} | {cells[2]} / {cells[3]} "
            f"| {accuracy} | {cost} |"
        )
    return "\n".join(lines)


def _seconds(runs):
    """Median processor seconds of an epoch; the first compiles and is left out."""
    return statistics.median(value for run in runs for value in run["seconds"][1:])


def _spread(values):
    mean = 100 * statistics.mean(values)
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean:.1f}{spread}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir")
    parser.add_argument("--out", default="runs/methods")
    parser.add_argument("--objectives", default=",".join(["base", *OBJECTIVES]))
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--test_images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--learning_rate", type=float, default=0.01)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    if not arguments.table:
        images = images_of(arguments)
        for seed in map(int, arguments.seeds.split(",")):
            for objective in arguments.objectives.split(","):
                path = folder / f"{objective}-{seed}.json"
                # No seed changes the base.
                if path.exists() or objective == "base" and any(folder.glob("base-*.json")):
                    continue
                keras.backend.clear_session()
                network, seconds = trained(objective, seed, images, arguments)
                result = {"objective": objective, "seed": seed, "seconds": seconds}
                write_json(path, result | measured(objective, network, images))
                print(path, path.read_text(encoding="utf-8"), flush=True)
    print(table(folder))


if __name__ == "__main__":
    main()
