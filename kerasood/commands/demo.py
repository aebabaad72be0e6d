"""`make demo`: the whole path on embedded data, from pretraining to answers of exported files."""

import pathlib
import time

import numpy as np
from absl import app, flags
from rich.table import Table

from kerasood import reporting
from kerasood.commands.common import console
from kerasood.commands.evaluate import evaluate
from kerasood.commands.export import export
from kerasood.commands.train import train
from kerasood.config import EvaluateConfig, ExportConfig, train_config
from kerasood.data.open import open_source
from kerasood.export import read_metadata, run_saved_model, run_tflite

OOD_SETS = ("digits_heldout", "photos", "uniform_noise", "gaussian_noise", "blobs")
DETECTORS = ("msp", "max_logit", "energy", "mahalanobis", "vim")
SCORED = {"digits": 4, "digits_heldout": 4, "photos": 2, "uniform_noise": 1, "blobs": 1}

flags.DEFINE_string("out", "demo", "Folder that receives everything.")


def main(_):
    """Trains, evaluates, calibrates, exports, and asks the exported files about a few images."""
    out = pathlib.Path(flags.FLAGS.out)
    start = time.monotonic()
    _step(1, "train.py --stage=all --dataset=digits")
    runs = train(train_config("digits", stage="all", out=str(out / "runs")))
    run = str(runs[-1].path)
    _step(2, f"evaluate.py --ood={','.join(OOD_SETS)} --detectors={','.join(DETECTORS)} --notune")
    results, page = evaluate(
        EvaluateConfig(
            run=(run,), ood=OOD_SETS, detectors=DETECTORS, tune=False, out=str(out / "report")
        )
    )
    _step(3, "-m export --format=all")
    exported = export(ExportConfig(run=run, out=str(out / "exported")))
    _step(4, "a few images through the exported files")
    _print_answers(exported)
    reporting.print_summary(results)
    _print_thresholds(results)
    console.print(f"\nreport      {page}\nexported    {exported.folder}")
    console.print(f"everything took {time.monotonic() - start:.0f} s")


def _step(number, command):
    console.rule(f"[bold]{number}/4[/] {command}", align="left")


def _print_answers(exported):
    """Scores images through both files and shows what each got."""
    names, images, truths = _images_to_score()
    answers = run_saved_model(exported.paths["saved_model"], images)
    lite = run_tflite(exported.paths["tflite"], images)
    class_names = read_metadata(exported.folder)["class_names"]
    table = Table("image", "true class", "answer", "probability", "energy", "TFLite energy", "")
    for row, name in enumerate(names):
        answer = class_names[int(np.argmax(answers["logits"][row]))]
        is_ood = bool(answers["is_ood"][row])
        if is_ood != bool(lite["is_ood"][row]):
            raise ArithmeticError(f"SavedModel and TFLite disagree about image {row}")
        table.add_row(
            name,
            truths[row],
            "I don't know" if is_ood else answer,
            f"{answers['probabilities'][row].max():.3f}",
            f"{answers['energy'][row]:.3f}",
            f"{lite['energy'][row]:.3f}",
            "OOD" if is_ood else "",
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


def _print_thresholds(results):
    for entry in results["thresholds"]:
        if entry["detector"] == results["primary"] and entry["model"] != "base":
            realised, threshold = entry["realised"], entry["threshold"]
            console.print(
                f"\nThe threshold promises to accept {threshold['tpr']:.0%} of in-distribution "
                f"images; on {realised['num_images']} fresh ones it accepted "
                f"{realised['rate']:.1%}, "
                + ("inside" if realised["inside"] else "OUTSIDE")
                + f" the promised {realised['interval'][0]:.1%} to {realised['interval'][1]:.1%}."
            )


if __name__ == "__main__":
    app.run(main)
