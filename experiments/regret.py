"""How good the automatic choice of a detector is: its regret on networks that did not choose it.

    python -m experiments.regret --networks=zoo:cifar10-wrn10-1-base,WEIGHTS.npz --data_dir=DATA

Every network is a name of the zoo, a .keras file, or the published arrays that
`experiments.densenet` reads, trained on digits 0-7, CIFAR-10 or CIFAR-100 as its number of classes
says. Every detector at every point of its grid is measured on generated outliers and on the OOD
sets; these measurements are kept in --out, a file a network, and are not made again. Then rules
that choose by the generated outliers are judged: the regret of one is the mean FPR95 of what it
takes minus that of the best detector in hindsight. "left out" takes the rule with the least regret
on the networks of other families and judges it on this one, so that no network chooses its own.
"""

import dataclasses
import pathlib

import numpy as np

from experiments.densenet import published_network
from experiments.rules import Rule, judged
from kerasood import detectors, zoo
from kerasood.commands.common import console, run_command
from kerasood.config import ReadsData, option
from kerasood.detectors import DETECTORS
from kerasood.evaluation.auto import MARGIN_OF_A_BANK, MOST_TRAINING, candidates
from kerasood.evaluation.choosing import Validation, grid_points
from kerasood.evaluation.ood_sets import open_sets
from kerasood.evaluation.protocols import find
from kerasood.evaluation.subject import subjects_of
from kerasood.evaluation.subject_outputs import SubjectOutputs
from kerasood.files import read_json, write_json
from kerasood.metrics import all_metrics
from kerasood.networks.saving import load_network

# The rule that `kerasood.evaluation.auto` follows.
SHIPPED = Rule(margin=MARGIN_OF_A_BANK)
# Measured too, though a choice among them does not pay.
OTHER_GRIDS = {"knn": {"k": (1, 10, 20, 50, 100, 200, 500)}}
DATASETS = {8: "digits", 10: "cifar10", 100: "cifar100"}


@dataclasses.dataclass(frozen=True)
class RegretConfig(ReadsData):
    """What `python -m experiments.regret` measures."""

    networks: tuple[str, ...] = option(
        tuple(f"zoo:{name}" for name in zoo.names()), "zoo:NAME, .keras files, arrays .npz."
    )
    num_images: int = option(1000, "Test images of every set.")
    data_dir: str | None = option(None, "Folder that is searched for data.")
    download: bool = option(False, "Whether missing data may be downloaded.")
    out: str = option("regret", "Folder of the measurements.")


def main(config):
    """Measures what is not measured yet, and prints the regrets."""
    measured = []
    for name in config.networks:
        path = pathlib.Path(config.out) / f"{pathlib.Path(name.removeprefix('zoo:')).stem}.json"
        if not path.exists():
            write_json(path, measure_network(name, config))
        measured.append(read_json(path))
    console.print(judged(measured, SHIPPED))


def measure_network(name, config):
    """Every point of every detector on generated outliers and OOD sets.

    Args:
        name: str, a network as --networks names it.
        config: RegretConfig.

    Returns:
        JSON values: "network", "family" (those of one family share a base) and "points", each with
        "detector", "params", and "kinds" and "sets": {name: {"auroc", "fpr95"}}.
    """
    network = open_network(name)
    dataset = DATASETS[network.output_shape[-1]]
    (subject,), _, data = subjects_of(network, dataset, config.data, 200, cache=config.out)
    images = subject.images
    subject = subject.replace(images=dataclasses.replace(
        images,
        training=images.training.spread(MOST_TRAINING),
        testing=images.testing.spread(config.num_images),
    ))
    outputs = SubjectOutputs(subject)
    protocol = find("full")
    sources, _ = open_sets("all", protocol.set_names(dataset), data)
    tested = {"in": outputs.collect(subject.images.testing, "in").outputs}
    for set_name, source in sources.items():
        if protocol.role(set_name, dataset) == "synthetic":
            continue
        tested[set_name] = outputs.collect(source.spread(config.num_images), set_name).outputs
    validation = Validation(subject.extractor, images.choosing.load()[0])
    points = []
    for detector in candidates(subject):
        console.print(f"{name}: {detector}")
        fit_data = outputs.fit_data(detectors.build(detector))
        points += points_of(detector, fit_data, validation, tested)
    return {"network": name, "family": f"{dataset}, {network.name}", "points": points}


def points_of(name, fit_data, validation, tested):
    """Entries of `measure_network` for one detector."""
    entries = []
    for params in grid_points(DETECTORS[name].GRID or OTHER_GRIDS.get(name, {})):
        fitted = detectors.build(name).set_params(**params).fit(*fit_data)
        entries.append({
            "detector": name,
            "params": params,
            "kinds": _measures(fitted, validation.outputs),
            "sets": _measures(fitted, tested),
        })
    return entries


def _measures(detector, outputs):
    scores = {name: np.asarray(detector.score(parts)) for name, parts in outputs.items()}
    measures = {
        name: all_metrics(scores["in"], values) for name, values in scores.items() if name != "in"
    }
    return {
        name: {key: float(each[key]) for key in ("auroc", "fpr95")}
        for name, each in measures.items()
    }


def open_network(name):
    """The keras.Model that --networks names."""
    if zoo_name := zoo.name_in(name):
        return zoo.load(zoo_name)
    return published_network(name) if name.endswith(".npz") else load_network(name)


if __name__ == "__main__":
    run_command(RegretConfig, main)
