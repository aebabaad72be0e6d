"""The cost of a conversion: the same images through Keras and through the converted file."""

import numpy as np

from kerasood import metrics
from kerasood.export.formats import run_exported
from kerasood.export.metadata import read_metadata
from kerasood.files import write_json

FILE_NAME = "conversion.json"
BATCH_SIZE = 250
COLUMNS = ("auroc", "fpr95", "flagged")


def measure_conversion(ood_model, exported, test, ood_sources, num_images=0):
    """Measures what the quantised file of an export costs, and writes it beside the file.

    Args:
        ood_model: OODModel as it was before.
        exported: Exported.
        test, ood_sources, num_images: see `compare_with_keras`.

    Returns:
        dict of the file, its quantization, the data set and what `compare_with_keras` returns.
    """
    kinds = {p: read_metadata(p).get("quantization", "none") for p in exported.paths.values()}
    (path,) = (path for path, kind in kinds.items() if kind != "none")
    content = {"file": path.name, "quantization": kinds[path], "dataset": test.name}
    content |= compare_with_keras(
        ood_model, lambda images: run_exported(path, images), test, ood_sources, num_images
    )
    write_json(exported.folder / FILE_NAME, content)
    return content


def compare_with_keras(ood_model, run, test, ood_sources, num_images=0):
    """Accuracy, AUROC and FPR95 before and after a conversion.

    Args:
        ood_model: OODModel as it was before.
        run: function of images uint8 (N, H, W, 3) -> outputs of the converted file.
        test: ImageSource of labelled in-distribution images.
        ood_sources: {set name: ImageSource}.
        num_images: int, evenly spaced images of each set; 0: all.

    Returns:
        {"num_images", "accuracy", "accepted": share of in-distribution images, "sets": {name:
        {"num_images", "auroc", "fpr95", "flagged": share of OOD images}}}, each measure as
        {"before", "after"}.
    """
    runs = {"before": ood_model.predict, "after": run}
    inside, labels = _answers(runs, test, num_images)
    return {
        "num_images": len(labels),
        "accuracy": {
            key: float(np.mean(outputs["logits"].argmax(axis=-1) == labels))
            for key, outputs in inside.items()
        },
        "accepted": {key: 1 - _flagged(outputs) for key, outputs in inside.items()},
        "sets": {
            name: _compared(inside, _answers(runs, source, num_images)[0])
            for name, source in ood_sources.items()
        },
    }


def _compared(inside, outside):
    scores = {key: (inside[key]["score"], outside[key]["score"]) for key in inside}
    return {
        "num_images": len(outside["before"]["score"]),
        "auroc": {key: metrics.auroc(*pair) for key, pair in scores.items()},
        "fpr95": {key: metrics.fpr_at_tpr(*pair) for key, pair in scores.items()},
        "flagged": {key: _flagged(outputs) for key, outputs in outside.items()},
    }


def _answers(runs, source, num_images):
    """({"before", "after": {output: (n, ...)}}, labels (n,) or None)."""
    all_labels, parts = [], {key: [] for key in runs}
    for images, labels in source.spread(num_images or source.num_images).batches(BATCH_SIZE):
        all_labels.append(labels)
        for key, run in runs.items():
            parts[key].append(run(images))
    labels = None if all_labels[0] is None else np.concatenate(all_labels)
    joined = {
        key: {
            name: np.concatenate([part[name] for part in of_run])
            for name in ("logits", "score", "is_ood")
        }
        for key, of_run in parts.items()
    }
    return joined, labels


def _flagged(outputs):
    return float(np.mean(outputs["is_ood"]))


def conversion_table(conversion):
    """A table of the result of `measure_conversion`, in percent: str of several lines."""
    head = "".join(f"{name + ' before':>16}{'after':>8}" for name in ("AUROC", "FPR95", "flagged"))
    lines = [
        f"before: Keras, after: {conversion['file']} in {conversion['quantization']}; "
        f"{conversion['num_images']:,} in-distribution images; %",
        f"{'':<22}{head}",
    ]
    for name, measured in conversion["sets"].items():
        lines.append(f"{name:<22}" + "".join(_pair(measured[key]) for key in COLUMNS))
    for key in ("accuracy", "accepted"):
        lines.append(f"{key:<22}" + _pair(conversion[key]))
    return "\n".join(lines)


def _pair(pair):
    return f"{100 * pair['before']:>16.2f}{100 * pair['after']:>8.2f}"
