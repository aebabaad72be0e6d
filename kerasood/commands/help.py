"""Text of --help: examples, flags in groups, and the names that can be given; without Keras."""

import dataclasses
import pathlib
import re
import sys
import textwrap

from kerasood.commands.flags import described_flags
from kerasood.data.registry import DATASETS
from kerasood.training.declared import declared_objectives

PACKAGE = pathlib.Path(__file__).parents[1]
WIDTH = 96
COLUMN = 30


@dataclasses.dataclass(frozen=True)
class Help:
    """Text of a command's --help beside what its flags say.

    Args:
        about: str, one sentence.
        examples: lines that can be typed.
        groups: {title: names of flags}; flags in none are listed last.
        names: keys of NAMES.
    """

    about: str
    examples: tuple[str, ...]
    groups: dict[str, tuple[str, ...]]
    names: tuple[str, ...] = ()


def detector_names():
    """Names of the registered detectors; read from the source where none was imported yet."""
    if module := sys.modules.get("kerasood.detectors"):
        return sorted(module.DETECTORS)
    sources = (PACKAGE / "detectors").glob("*.py")
    texts = (path.read_text(encoding="utf-8") for path in sources)
    return sorted(n for text in texts for n in re.findall(r'^@register\("(\w+)"\)', text, re.M))


def zoo_names():
    """zoo:NAME of every network that comes with the package."""
    return sorted(f"zoo:{path.stem}" for path in PACKAGE.glob("networks/zoo/networks/*.json"))


# The names that can be given, by what they name.
NAMES = {
    "data sets": lambda: list(DATASETS),
    "detectors": detector_names,
    "networks": zoo_names,
    "objectives": lambda: list(declared_objectives()),
}
IMAGES = ("data_dir", "download", "strict")
PARAMETERS = ("tune", "validation_images", "batch_size", "seed")
OWN_MODEL = ("model", "dataset", "class_names", "preprocessing", "resizing", "antialias")

HELP = {
    "train": Help(
        "Pretrains a classifier, fine-tunes it for OOD detection, or both.",
        (
            "python train.py --dataset=digits",
            "python train.py --dataset=my_photos/ --seeds=1,2,3",
            "python train.py --stage=finetune --init=zoo:cifar10-wrn40-2-base --site=features",
            "python train.py --dataset=cifar10 --resume",
        ),
        {
            "What is trained": (
                "stage", "dataset", "init", "objective", "pretrain_objective",
            ),
            "Network": ("depth", "width", "dropout", "finetune_dropout"),
            "Recipe": (
                "pretrain_epochs", "finetune_epochs", "pretrain_learning_rate",
                "finetune_learning_rate", "final_learning_rate", "momentum", "weight_decay",
                "batch_size", "crop", "flip", "precision",
            ),
            "Images": (*IMAGES, "holdout", "outliers", "max_outliers"),
            "Runs": ("out", "run", "resume", "seed", "seeds"),
        },
        ("data sets", "objectives", "networks"),
    ),
    "evaluate": Help(
        "Measures how well models tell in-distribution from OOD images, and writes a report.",
        (
            "python evaluate.py",
            "python evaluate.py --run=runs/a,runs/b --ood=svhn,strange=other_photos/",
            "python evaluate.py --run=zoo:cifar10-wrn40-2-base --detectors=auto",
            "python evaluate.py --model=mine.keras --dataset=my_photos/ --detectors=auto",
            "python evaluate.py --suite=paper",
        ),
        {
            "What is measured": ("run", "ood", "detectors", "protocol", "suite", "tpr"),
            "A model of your own": OWN_MODEL,
            "Parameters of detectors": PARAMETERS,
            "Images": IMAGES,
            "Report": ("out", "cache"),
        },
        ("detectors", "data sets", "networks"),
    ),
    "export": Help(
        "Writes a run's model, detector and threshold as files for other runtimes, verified.",
        (
            "python -m export",
            "python -m export --run=zoo:cifar10-wrn40-2-base --detector=mahalanobis",
            "python -m export --format=tflite --quantization=int8",
            "python -m export --model=mine.keras --dataset=my_photos/",
            "python -m export --calibration=new_photos/ --tpr=0.99",
            "python -m export --verify=exported/cifar10/1",
        ),
        {
            "What is exported": (
                "run", "detector", "step", "format", "quantization", "max_megapixels"
            ),
            "A model of your own": OWN_MODEL,
            "Threshold": ("tpr", "guarantee", "confidence", "per_class", "calibration"),
            "Parameters of the detector": PARAMETERS,
            "Where to": ("out", "name", "version", "verify"),
            "Images": ("data_dir", "download", "ood", "evaluation_images"),
        },
        ("detectors", "networks"),
    ),
    "convert": Help(
        "Turns a published PyTorch checkpoint of a WideResNet into a .keras file.",
        ("kerasood-convert --checkpoint=cifar10_wrn.pt --out=base.keras",),
        {},
    ),
    "score": Help(
        "Scores many files with an exported model: one row a file.",
        (
            "kerasood-score --model=exported/photos/1 --images=new_photos/ --out=scores.csv",
            "kerasood-score --model=m.onnx --images='shards/*.tar' --out=scores.parquet --resume",
            "kerasood-score --model=exported/photos/1 --images=new/ --out=december.parquet "
            "--against=november.parquet",
            "kerasood-score --engine=ray --model=exported/photos/1 --images=new/ --out=s.parquet",
        ),
        {
            "What is scored": ("model", "images", "column", "out", "against"),
            "How": ("batch_size", "threads", "resume"),
            "Cluster": ("engine", "address", "workers"),
        },
    ),
    "monitor": Help(
        "Says whether served answers are still what the threshold promised; status 2 on drift.",
        (
            "kerasood-monitor --model=exported/photos/1 --log=answers.jsonl",
            "kerasood-monitor --model=exported/photos/1 --log=a.parquet,b.parquet "
            "--html=drift.html --prometheus=drift.prom",
        ),
        {},
    ),
}


def help_text(config_class, described):
    """The text of a command's --help.

    Args:
        config_class: dataclass whose flags are defined.
        described: Help.

    Returns:
        str of several lines.
    """
    flags = described_flags(config_class)
    lines = [described.about, "", "Examples:", *(f"  {line}" for line in described.examples)]
    grouped = [name for names in described.groups.values() for name in names]
    others = tuple(name for name in flags if name not in grouped)
    title = "Parameters of objectives" if "objective" in flags else "Flags"
    for heading, names in {**described.groups, title: others}.items():
        if names:
            lines += ["", f"{heading}:"]
            lines += [line for name in names for line in _flag_lines(*flags[name])]
    for name in described.names:
        lines += ["", f"Names of {name}:"]
        lines += textwrap.wrap(", ".join(NAMES[name]()), WIDTH, initial_indent="  ",
                               subsequent_indent="  ", break_on_hyphens=False)
    lines += ["", "--import=MODULE imports a module first, which may register more of each. "
              "--helpfull lists absl's own flags."]
    return "\n".join(lines)


def _flag_lines(flag, text):
    lines = textwrap.wrap(text, WIDTH - COLUMN, break_on_hyphens=False)
    first = f"  {flag}"
    if len(first) >= COLUMN:
        return [first, *(" " * COLUMN + line for line in lines)]
    return [f"{first:{COLUMN}}{lines[0]}", *(" " * COLUMN + line for line in lines[1:])]
