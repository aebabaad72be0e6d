"""All detectors on a published network that nobody here trained, beside the published numbers.

    python -m experiments.published --dataset=cifar10 --weights=ARRAYS.npz --data_dir=DATA --out=OUT

Writes the report of `kerasood.benchmark` to OUT, and the network, to be fine-tuned by
`python train.py --stage=finetune --init=OUT/published.keras`. The weights are not the project's.
"""

import dataclasses
import pathlib

import kerasood
from experiments.densenet import published_network
from kerasood import detectors
from kerasood.commands.common import console, run_command
from kerasood.config import option
from kerasood.networks.saving import save_network

OOD_SETS = ("svhn", "textures", "places365")
# The parameters that the published tables were made with.
PARAMETERS = {
    "cifar10": {
        "react": {"percentile": 90},
        "ash_s": {"percentile": 95},
        "vim": {"dim": 171},
        "knn": {"k": 50},
    },
    "cifar100": {
        "react": {"percentile": 90},
        "ash_s": {"percentile": 90},
        "vim": {"dim": 171},
        "knn": {"k": 200},
    },
}
# FPR95 and AUROC on the complete sets: CADRef (CVPR 2025), table 4, for these very weights.
PUBLISHED = {
    "cifar10": {
        "energy": {"svhn": (38.71, 94.19), "textures": (56.66, 86.56)},
        "dice": {"svhn": (27.74, 94.96), "textures": (45.33, 87.33)},
        "ash_s": {"svhn": (6.16, 98.73), "textures": (23.58, 95.29)},
        "vim": {"svhn": (8.65, 98.45), "textures": (20.33, 96.18)},
    },
    "cifar100": {
        "energy": {"svhn": (88.03, 81.30), "textures": (85.00, 70.99)},
        "dice": {"svhn": (60.06, 88.18), "textures": (61.27, 77.22)},
        "ash_s": {"svhn": (24.75, 95.79), "textures": (34.60, 92.11)},
        "vim": {"svhn": (35.05, 93.57), "textures": (19.75, 95.89)},
    },
}
# They read outputs of networks made for them.
OF_OTHER_NETWORKS = ("g_odin", "mcd")


@dataclasses.dataclass(frozen=True)
class PublishedConfig:
    """What `python -m experiments.published` measures."""

    dataset: str = option("cifar10", "What the network was trained on.", tuple(PARAMETERS))
    weights: str | None = option(None, "Its weights: the arrays of a state dict, .npz.")
    detectors: tuple[str, ...] = option(("all",), "Detectors: all, or names.")
    ood: tuple[str, ...] = option(OOD_SETS, "OOD sets.")
    data_dir: str | None = option(None, "Folder that is searched for data.")
    out: str = option("published", "Folder for the report and the network.")


def main(config):
    """Measures, prints and writes."""
    network = published_network(config.weights)
    out = pathlib.Path(config.out)
    save_network(network, out / "published.keras")
    measured = benchmark(network, config)
    console.print(f"report  {measured.report(out)}")
    console.print(comparison(measured.results.metrics, config.dataset))


def benchmark(network, config):
    """kerasood's Benchmark of a network, with the detectors' published parameters."""
    return kerasood.benchmark(
        network,
        config.dataset,
        config.ood,
        detectors_of(config.dataset, config.detectors),
        data_dir=config.data_dir,
        download=False,
    )


def detectors_of(dataset, names):
    """{name: Detector} of names or ("all",), with the published parameters of a data set."""
    if tuple(names) == ("all",):
        names = [name for name in detectors.DETECTORS if name not in OF_OTHER_NETWORKS]
    parameters = PARAMETERS[dataset]
    return {name: detectors.DETECTORS[name](**parameters.get(name, {})) for name in names}


def comparison(metrics, dataset):
    """Lines of Markdown: FPR95 / AUROC in percent, measured, and published in brackets.

    Args:
        metrics: of the Results of one model.
        dataset: key of PUBLISHED.
    """
    cells = {}
    for entry in metrics:
        measured = f"{100 * entry['fpr95']['mean']:.2f} / {100 * entry['auroc']['mean']:.2f}"
        known = PUBLISHED[dataset].get(entry["detector"], {}).get(entry["set"])
        note = f" ({known[0]:.2f} / {known[1]:.2f})" if known else ""
        cells.setdefault(entry["detector"], {})[entry["set"]] = measured + note
    names = list(dict.fromkeys(entry["set"] for entry in metrics))
    lines = ["| detector | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [
        f"| {detector} | " + " | ".join(row[name] for name in names) + " |"
        for detector, row in cells.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(PublishedConfig, main)
