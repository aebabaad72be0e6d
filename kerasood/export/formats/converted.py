"""The cost of a conversion: the same images through Keras and through the converted file."""

import numpy as np

from kerasood import metrics


def compare_with_keras(ood_model, run, test, ood_sources, num_images=0, batch_size=250):
    """Accuracy, AUROC and FPR95 before and after a conversion.

    Args:
        ood_model: OODModel as it was before.
        run: function of images uint8 (N, H, W, 3) -> outputs of the converted file.
        test: ImageSource of labelled in-distribution images.
        ood_sources: {set name: ImageSource}.
        num_images: int, evenly spaced images of each set; 0: all.
        batch_size: int.

    Returns:
        {"num_images", "accuracy", "accepted": share of in-distribution images, "sets": {name:
        {"num_images", "auroc", "fpr95", "flagged": share of OOD images}}}, each measure as
        {"before", "after"}.
    """
    runs = {"before": lambda images: ood_model.predict(images, batch_size=batch_size), "after": run}
    inside = _answers(runs, test, num_images, batch_size)
    return {
        "num_images": len(inside["labels"]),
        "accuracy": {key: _accuracy(inside[key], inside["labels"]) for key in runs},
        "accepted": {key: 1 - _flagged(inside[key]) for key in runs},
        "sets": {
            name: _compared(runs, inside, _answers(runs, source, num_images, batch_size))
            for name, source in ood_sources.items()
        },
    }


def _compared(runs, inside, outside):
    scores = {key: (inside[key]["score"], outside[key]["score"]) for key in runs}
    return {
        "num_images": len(outside["before"]["score"]),
        "auroc": {key: metrics.auroc(*scores[key]) for key in runs},
        "fpr95": {key: metrics.fpr_at_tpr(*scores[key]) for key in runs},
        "flagged": {key: _flagged(outside[key]) for key in runs},
    }


def _answers(runs, source, num_images, batch_size):
    """{"before", "after": {output: (n, ...)}, "labels": (n,) or None}."""
    all_labels, parts = [], {key: [] for key in runs}
    for images, labels in spread_batches(source, num_images, batch_size):
        all_labels.append(labels)
        for key, run in runs.items():
            parts[key].append(run(images))
    labels = None if all_labels[0] is None else np.concatenate(all_labels)
    return {"labels": labels, **{key: _joined(of_run) for key, of_run in parts.items()}}


def _joined(parts):
    return {
        name: np.concatenate([part[name] for part in parts])
        for name in ("logits", "score", "is_ood")
    }


def spread_batches(source, num_images, batch_size=250):
    """Evenly spaced images of a source, with their labels, in bounded memory.

    Args:
        source: ImageSource.
        num_images: int, at most that many; 0: all.
        batch_size: int, images of the source in a batch.

    Yields:
        (images uint8 (B, H, W, 3), labels (B,) or None), B > 0.
    """
    total = source.num_images
    wanted = np.linspace(0, total - 1, min(num_images or total, total)).astype(int)
    yield from source.subset(wanted).batches(batch_size)


def _accuracy(outputs, labels):
    return float(np.mean(outputs["logits"].argmax(axis=-1) == labels))


def _flagged(outputs):
    return float(np.mean(outputs["is_ood"]))


def comparison_table(comparison):
    """The result of `compare_with_keras` as lines of text, in percent."""
    head = ("", "AUROC", "FPR95", "flagged")
    lines = [f"{head[0]:<22}" + "".join(f"{name + ' before':>16}{'after':>8}" for name in head[1:])]
    for name, measured in comparison["sets"].items():
        pairs = (measured[key] for key in ("auroc", "fpr95", "flagged"))
        lines.append(f"{name:<22}" + "".join(_pair(pair) for pair in pairs))
    for key in ("accuracy", "accepted"):
        lines.append(f"{key:<22}" + _pair(comparison[key]))
    return "\n".join(lines)


def _pair(pair):
    return f"{100 * pair['before']:>16.2f}{100 * pair['after']:>8.2f}"
