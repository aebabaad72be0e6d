"""The paper's experiment, seed by seed: pretrain, fine-tune, evaluate."""

import pathlib
import shutil

from experiments.gpu.measuring import judged_mean, measure
from experiments.gpu.parcels import network_of, packed_network
from experiments.gpu.setup import REHEARSED_SETS, run_folder
from experiments.gpu.units import Unit
from kerasood.commands.evaluate import evaluate
from kerasood.commands.train import train
from kerasood.config import EvaluateConfig
from kerasood.files import atomic_path, write_json
from kerasood.networks.saving import load_network

# What is fine-tuned beside each other, and the directory that train.py makes for it.
FINE_TUNES = {
    "logits": ("finetune-sparsity-logits", {"site": "logits"}),
    "features": ("finetune-sparsity-features", {"site": "features"}),
    "ce": ("finetune-ce", {"objective": "ce"}),
}
RUN_FILES = ("config.json", "history.csv", "model.keras")
REPORTS = ("full/results.json", "full/report.md", "paper/results.json", "paper/paper.md",
           "rounding.json")


def paper_units(setup, dataset):
    """Units of the paper's experiment on one data set, all seeds."""
    units = []
    for seed in setup.seeds:
        # Weights of one seed alone travel in float32; bases may be trained ahead meanwhile.
        before = (units[-1].name,) if units else ()
        units += _seed_units(setup, dataset, seed, before)
    return units


def pretrain_unit(setup, dataset, seed):
    """Trains the base of a seed."""
    config = setup.train_config(dataset, seed, stage="pretrain")
    return Unit(
        f"{dataset}-seed{seed}-pretrain",
        "pretrain",
        lambda: train(config),
        _run_files(run_folder(dataset, seed) / "pretrain"),
        resumable=True,
    )


def _seed_units(setup, dataset, seed, before):
    base = pretrain_unit(setup, dataset, seed)
    tuned = [
        Unit(
            f"{dataset}-seed{seed}-finetune-{name}",
            "finetune",
            lambda values=values: train(
                setup.train_config(dataset, seed, stage="finetune", **values)
            ),
            _run_files(run_folder(dataset, seed) / directory),
            needs=(base.name, *before),
            resumable=True,
        )
        for name, (directory, values) in FINE_TUNES.items()
    ]
    return [base, *tuned, _evaluate_unit(setup, dataset, seed, [base, *tuned])]


def _evaluate_unit(setup, dataset, seed, trained):
    models = [name for unit in trained for name in unit.files if name.endswith(".keras")]
    folder = evaluation_folder(dataset, seed)
    return Unit(
        f"{dataset}-seed{seed}-evaluate",
        "evaluate",
        lambda: _evaluate(setup, dataset, seed),
        tuple(str(folder / name) for name in REPORTS),
        needs=tuple(unit.name for unit in trained),
        settles=tuple(models),
        # Its numbers are the control; nobody starts from it.
        drops=(str(run_folder(dataset, seed) / FINE_TUNES["ce"][0] / "model.keras"),),
    )


def evaluation_folder(dataset, seed):
    return pathlib.Path("evaluation", f"{dataset}-seed{seed}")


def _run_files(folder):
    return tuple(str(folder / name) for name in RUN_FILES)


def _evaluate(setup, dataset, seed):
    """All detectors on all sets, the paper's suite, and what rounding to float16 changes."""
    runs = [run_folder(dataset, seed) / directory for directory, _ in FINE_TUNES.values()]
    base = run_folder(dataset, seed) / "pretrain" / "model.keras"
    for run in runs:
        _with_initial_model(run, base)
    folder = evaluation_folder(dataset, seed)
    shared = {
        "run": tuple(map(str, runs)),
        "data_dir": setup.data,
        "download": False,
        "validation_images": setup.validation_images,
    }
    sets = REHEARSED_SETS if setup.rehearse else ("all",)
    evaluate(EvaluateConfig(**shared, ood=sets, out=str(folder / "full")))
    evaluate(EvaluateConfig(**shared, suite="paper", out=str(folder / "paper")))
    rounding = {
        path.parent.name: rounding_of(path, dataset, setup.data)
        for path in (base, *(run / "model.keras" for run in runs))
    }
    write_json(folder / "rounding.json", rounding)


def _with_initial_model(run, base):
    """On another machine than where it was trained, a fine-tune's start is its base's copy."""
    if not (run / "initial.keras").exists():
        with atomic_path(run / "initial.keras") as temporary:
            shutil.copyfile(base, temporary)


def rounding_of(path, dataset, data_dir):
    """Accuracy and the energy's mean FPR95 with weights as they are and rounded to float16."""
    network = load_network(path)
    rounded = network_of(packed_network(network, "float16"))
    numbers = {}
    for name, each in (("float32", network), ("float16", rounded)):
        measured = measure(each, dataset, data_dir, ("energy",), choosing=False)
        numbers[name] = {
            "accuracy": measured["accuracy"],
            "fpr95": judged_mean(measured["detectors"]["energy"], "full"),
        }
    return numbers
