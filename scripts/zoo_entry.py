"""python -m scripts.zoo_entry --run=RUN --name=NAME: a finished run as an entry of the zoo.

Writes the weights in half their bytes and what there is to know about them, measures the accuracy
of what was written on the test images, and renews the table of docs/zoo.md. A fine-tune's base must
be an entry already.
"""

import argparse
import csv
import dataclasses
import pathlib
import re

import numpy as np

from kerasood.data.open import open_source
from kerasood.data.options import DataOptions
from kerasood.data.registry import DATASETS
from kerasood.evaluation.outputs import collect_source
from kerasood.extractor.build import build_extractor
from kerasood.files import read_json, write_json, write_text
from kerasood.networks import zoo
from kerasood.networks.fingerprint import weights_hash
from kerasood.networks.saving import load_network
from kerasood.networks.wide_resnet import WideResNet
from kerasood.networks.zoo.weights import read_weights, write_weights
from kerasood.runs import Run

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "zoo.md"
PAPERS = {"depth": 40, "width": 2, "pretrain": 100, "finetune": 10}
# What the command knew about the machine it ran on.
LOCAL = r" --(data_dir|download|nodownload)(=\S+)?"
TITLES = (
    "name", "network", "epochs", "seed", "accuracy", "energy on far OOD sets: FPR95 / AUROC", "size"
)


def write_entry(run, name, evaluation=None, data_dir=None, overwrite=False):
    """Writes NAME.npz and NAME.json into the zoo's folder.

    Args:
        run: Run, complete, of a WideResNet on a registered data set.
        name: str, of the entry.
        evaluation: dict, the results of an evaluation that this run's model took part in; or None.
        data_dir: str, where the test images are looked for; or None.
        overwrite: bool, whether an entry of that name may be replaced.

    Returns:
        dict, the entry.

    Raises:
        ValueError: the run, the name or the evaluation does not fit, or the entry exists.
    """
    network = _checked_network(run)
    entry = _facts(run, network, name)
    _check_name(entry, overwrite)
    if evaluation is not None:
        entry["evaluation"] = _of_energy(evaluation, weights_hash(network))
    test = open_source(run.config.dataset, "test", DataOptions(data_dir=data_dir, download=False))
    path = zoo.FOLDER / f"{name}.npz"
    sha256 = write_weights(path, network.weights)
    rounded = network.with_dtype("float32")
    rounded.set_weights(read_weights(path, rounded.weights, sha256))
    entry["accuracy"] = {
        "accuracy": accuracy(rounded, test),
        "before_rounding": accuracy(network, test),
        "num_images": test.num_images,
    }
    entry["weights"] = {
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": sha256,
        "hash": weights_hash(rounded),
        "hash_before_rounding": weights_hash(network),
    }
    write_json(path.with_suffix(".json"), entry)
    return entry


def accuracy(network, test):
    """Share of an ImageSource's images whose class a network predicts."""
    collected = collect_source(build_extractor(network), test)
    return float(np.mean(collected.outputs["logits"].argmax(axis=-1) == collected.labels))


def table():
    """The entries as a Markdown table."""
    lines = [TITLES, ["---"] * len(TITLES)]
    lines += [_row(zoo.describe(name)) for name in zoo.names()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_table(text):
    """The text of a page with its table renewed."""
    return re.sub(r"\| name \|.*?\n\n", lambda _: table() + "\n\n", text, flags=re.DOTALL)


def _checked_network(run):
    if not run.complete or run.config.dataset not in DATASETS:
        raise ValueError(
            "Expected a complete run on a registered data set. "
            f"Received: {run.path} on {run.config.dataset}"
        )
    network = load_network(run.model)
    if not isinstance(network, WideResNet):
        raise ValueError(
            f"Expected a run of a WideResNet. Received: {type(network).__name__} in {run.path}"
        )
    return network


def _facts(run, network, name):
    """All of an entry but what is measured."""
    stored = read_json(run.path / "config.json")
    shape = network.get_config()
    keys = ("depth", "width", "num_classes", "dropout", "image_size", "mean", "std")
    shape = {key: shape[key] for key in keys}
    base = None if run.config.stage == "pretrain" else _base(run)
    epochs = {} if base is None else {"pretrain": zoo.describe(base)["config"]["epochs"]}
    epochs[run.config.stage] = run.config.epochs
    found = {"depth": shape["depth"], "width": shape["width"], **epochs}
    config = dataclasses.asdict(run.config)
    config["init"] = config["init"] and _without_folders(config["init"], run)
    with open(run.history, newline="", encoding="utf-8") as file:
        history = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    of_the_paper = found.items() <= PAPERS.items()
    return {
        "name": name,
        "summary": _summary(run.config, found, of_the_paper),
        "of_the_paper": of_the_paper,
        "dataset": run.config.dataset,
        "base": base,
        "network": shape,
        "parameters": network.count_params(),
        "epochs": epochs,
        "config": config,
        "history": history,
        "accuracy": None,
        "evaluation": None,
        "weights": None,
        "command": re.sub(LOCAL, "", _without_folders(stored["command"], run)),
        "commit": stored.get("commit"),
        "versions": stored["versions"],
        "images": stored.get("images"),
    }


def _base(run):
    """Name of the entry that a fine-tune started from."""
    started_from = weights_hash(load_network(run.initial_model))
    for name in zoo.names():
        if zoo.describe(name)["weights"]["hash_before_rounding"] == started_from:
            return name
    raise ValueError(
        "Expected a fine-tune whose base is in the zoo: write the base's entry first. "
        f"Received: {run.path}, fine-tuned from {run.config.init}"
    )


def _summary(config, found, of_the_paper):
    how = f"pretrained for {found['pretrain']} epochs"
    if config.stage == "finetune":
        site = config.parameters.get("site")
        objective = config.objective + (f" on {site}" if site else "")
        how += f" and fine-tuned for {found['finetune']} ({objective})"
    title = DATASETS[config.dataset].title
    text = f"WRN-{found['depth']}-{found['width']} on {title}, {how}, seed {config.seed}"
    if of_the_paper:
        return text
    if {"depth": found["depth"], "width": found["width"]}.items() <= PAPERS.items():
        return f"{text}: the paper's network, not the paper's 100 + 10 epochs"
    return f"{text}: small or briefly trained, not the paper's WRN-40-2 after 100 + 10 epochs"


def _without_folders(text, run):
    """Paths in a text as seen from where runs/ lies."""
    path = run.path.resolve()
    root = next((parent.parent for parent in path.parents if parent.name == "runs"), path.parent)
    return text.replace(f"{root}/", "")


def _check_name(entry, overwrite):
    shape = f"wrn{entry['network']['depth']}-{entry['network']['width']}"
    name = entry["name"]
    if not re.fullmatch(r"[a-z0-9-]+", name) or not name.startswith(f"{entry['dataset']}-"):
        raise ValueError(
            f"Expected a name out of a-z, 0-9 and -, that starts with {entry['dataset']}-. "
            f"Received: {name!r}"
        )
    if not entry["of_the_paper"] and shape not in name:
        raise ValueError(
            f"Expected a name with {shape} in it, since network or epochs are not the paper's. "
            f"Received: {name!r}"
        )
    if name in zoo.names() and not overwrite:
        raise ValueError(f"Expected a new name, or --overwrite. Received: {name!r}, which exists")


def _of_energy(results, wanted_hash):
    """What an evaluation's results say about the energy of the model with these weights.

    Raises:
        ValueError: none of its models that are still there has them.
    """
    for model in results["models"]:
        path = pathlib.Path(model["description"])
        if path.is_file() and weights_hash(load_network(path)) == wanted_hash:
            break
    else:
        raise ValueError(
            "Expected the results of an evaluation in which this run took part. Received: models "
            + ", ".join(model["description"] for model in results["models"])
        )
    wanted = {"model": model["key"], "detector": "energy"}
    fields = ("name", "title", "role", "num_images", "published_images", "note")
    sets = {entry["name"]: {key: entry[key] for key in fields} for entry in results["sets"]}
    for metric in results["metrics"]:
        if wanted.items() <= metric.items():
            of_set = {key: metric[key]["mean"] for key in ("fpr95", "auroc")}
            sets[metric["set"]] |= of_set
    means = [entry for entry in results["means"] if wanted.items() <= entry.items()]
    kept = ("role", "num_sets", "fpr95", "auroc")
    return {
        "detector": "energy",
        "weights": "before rounding",
        "protocol": results["protocol"]["name"],
        "positive": results["protocol"]["positive"],
        "commit": results["commit"],
        "sets": list(sets.values()),
        "means": [{key: entry[key] for key in kept} for entry in means],
    }


def _row(entry):
    measured = "–"
    for mean in (entry["evaluation"] or {"means": []})["means"]:
        if mean["role"] == "far":
            measured = (
                f"{100 * mean['fpr95']:.2f} / {100 * mean['auroc']:.2f} ({mean['num_sets']} sets)"
            )
    return [
        f"`{entry['name']}`",
        f"WRN-{entry['network']['depth']}-{entry['network']['width']}",
        " + ".join(str(count) for count in entry["epochs"].values()),
        str(entry["config"]["seed"]),
        f"{100 * entry['accuracy']['accuracy']:.2f}",
        measured,
        f"{entry['weights']['bytes'] / 1000:.0f} kB",
    ]


def main(arguments=None):
    """Writes an entry and the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", required=True, help="run directory, complete")
    parser.add_argument("--name", required=True, help="of the entry, such as cifar10-base")
    parser.add_argument("--evaluation", help="results.json of an evaluation [the run's own]")
    parser.add_argument("--data_dir", help="where the test images are looked for")
    parser.add_argument("--overwrite", action="store_true", help="replace an entry of that name")
    options = parser.parse_args(arguments)
    run = Run.open(options.run)
    path = pathlib.Path(options.evaluation or run.evaluation / "results.json")
    if options.evaluation and not path.is_file():
        parser.error(f"--evaluation: there is no file {path}")
    evaluation = read_json(path) if path.is_file() else None
    try:
        entry = write_entry(run, options.name, evaluation, options.data_dir, options.overwrite)
    except (ValueError, OSError) as error:
        parser.error(" ".join(str(error).split()))
    write_text(PAGE, with_table(PAGE.read_text(encoding="utf-8")))
    measured = entry["accuracy"]
    print(
        f"{entry['name']}: {entry['summary']}\naccuracy {measured['accuracy']:.4f} on "
        f"{measured['num_images']:,} test images ({measured['before_rounding']:.4f} before "
        f"rounding); {entry['weights']['bytes']:,} bytes, sha256 {entry['weights']['sha256']}"
    )


if __name__ == "__main__":
    main()
