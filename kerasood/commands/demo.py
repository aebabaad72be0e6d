"""`make demo`: the whole path on embedded data, from pretraining to answers of exported files."""

import pathlib
import time

import numpy as np
from absl import app, flags
from rich.table import Table
from rich.text import Text

from kerasood.commands.common import console
from kerasood.commands.evaluate import evaluate
from kerasood.commands.export import export
from kerasood.commands.train import train
from kerasood.config import EvaluateConfig
from kerasood.data.open import open_source
from kerasood.export import read_metadata, run_exported
from kerasood.export.config import ExportConfig
from kerasood.reporting.decision import best_pair, decision
from kerasood.reporting.findings import Findings
from kerasood.training.config import train_config

OOD_SETS = ("digits_heldout", "photos", "uniform_noise", "gaussian_noise", "blobs")
SCORED = {"digits": 4, "digits_heldout": 4, "photos": 2, "uniform_noise": 1, "blobs": 1}
NEXT = """With photos of your own, one folder per class, and a folder of other photos:
  python train.py --stage=all --dataset=my_photos/
  python evaluate.py --detectors=auto --ood=strange=other_photos/
  python -m export
With a Keras model of your own: kerasood.benchmark(model, ...), see README.md."""

flags.DEFINE_string("out", "demo", "Folder that receives everything.")


def main(_):
    """Trains, evaluates, decides, exports, and asks the exported files about a few images."""
    out = pathlib.Path(flags.FLAGS.out)
    start = time.monotonic()
    _step(1, "train.py --stage=all --dataset=digits")
    runs = train(train_config("digits", stage="all", out=str(out / "runs")))
    _step(2, f"evaluate.py --ood={','.join(OOD_SETS)} --detectors=auto")
    results, page = evaluate(
        EvaluateConfig(
            run=tuple(str(run.path) for run in runs), ood=OOD_SETS, detectors=("auto",),
            out=str(out / "report"),
        )
    )
    findings = Findings(results)
    group, detector = best_pair(findings)
    run = runs[0] if group.models[0] == "base" else runs[-1]
    _step(3, f"-m export --run={run.path} --detector={detector}")
    exported = export(
        ExportConfig(run=str(run.path), detector=detector, out=str(out / "exported"))
    )
    _step(4, "a few images through the exported files")
    _print_answers(exported)
    console.rule(Text("What to do", "bold"), align="left")
    for line in decision(findings):
        console.print(line)
    _print_promise(findings.threshold(group.models[0], detector))
    _print_method(findings)
    console.print(f"\nreport      {page}\nexported    {exported.folder}\n")
    console.print(NEXT)
    console.print(f"\neverything took {time.monotonic() - start:.0f} s")


def _step(number, command):
    console.rule(Text.assemble((f"{number}/4", "bold"), f" {command}"), align="left")


def _print_answers(exported):
    """Scores images through both files and shows what each got."""
    names, images, truths = _images_to_score()
    answers = run_exported(exported.paths["saved_model"], images)
    lite = run_exported(exported.paths["tflite"], images)
    metadata = read_metadata(exported.folder)
    table = Table(
        "image", "true class", "answer", "probability", "score", "TFLite score"
    )
    for row, name in enumerate(names):
        is_ood = bool(answers["is_ood"][row])
        if is_ood != bool(lite["is_ood"][row]):
            raise ArithmeticError(f"SavedModel and TFLite disagree about image {row}")
        table.add_row(
            name,
            truths[row],
            "I don't know" if is_ood
            else metadata["class_names"][int(np.argmax(answers["logits"][row]))],
            f"{answers['probabilities'][row].max():.3f}",
            f"{answers['score'][row]:.4g}",
            f"{lite['score'][row]:.4g}",
        )
    console.print(table)


def _images_to_score():
    names, parts, truths = [], [], []
    for name, count in SCORED.items():
        images, labels = next(open_source(name, "test").batches(count))
        names += [name] * count
        truths += [""] * count if labels is None else [str(label) for label in labels]
        parts.append(images)
    return names, np.concatenate(parts), truths


def _print_promise(entry):
    realised, threshold = entry["realised"], entry["threshold"]
    low, high = realised["interval"]
    console.print(
        f"Its threshold promises to accept {threshold['tpr']:.0%} of in-distribution images; on "
        f"{realised['num_images']} fresh ones it accepted {realised['rate']:.1%}, "
        f"{'inside' if realised['inside'] else 'OUTSIDE'} the promised {low:.1%} to {high:.1%}."
    )


def _print_method(findings):
    """The effect of fine-tuning on so small a network in one line, for better or worse."""
    before, after = (
        findings.mean(model["key"], "energy", findings.roles[0])["fpr95"]
        for model in (findings.models[0], findings.models[-1])
    )
    console.print(
        f"Sparsity fine-tuning, made for networks some thirty times as large, took the mean FPR95 "
        f"of the energy on this one from {100 * before:.1f} to {100 * after:.1f} %."
    )


if __name__ == "__main__":
    app.run(main)
