"""Measurements of an evaluation as flat records, as CSV files and data frames have them."""

from kerasood.evaluation.protocols import METRICS


def records(results: dict) -> list[dict]:
    """One record per model, detector and OOD set, numbers as fractions; None where there is none.

    Args:
        results: as saved in results.json.

    Returns:
        Dictionaries of the same keys: model, label, base, seed, accuracy, detector, set, title,
        role, num_images, the metrics with their deviations over draws, threshold and flagged (the
        share of the set's images above it).
    """
    models = {model["key"]: model for model in results["models"]}
    sets = {entry["name"]: entry for entry in results["sets"]}
    thresholds = {(entry["model"], entry["detector"]): entry for entry in results["thresholds"]}
    found = []
    for entry in results["metrics"]:
        model, of_set = models[entry["model"]], sets[entry["set"]]
        threshold = thresholds.get((entry["model"], entry["detector"]))
        record = {
            "model": entry["model"],
            **{key: model.get(key) for key in ("label", "base", "seed", "accuracy")},
            "detector": entry["detector"],
            "set": entry["set"],
            **{key: of_set[key] for key in ("title", "role", "num_images")},
        }
        for metric in METRICS:
            record[metric] = entry[metric]["mean"]
            record[f"{metric}_std"] = entry[metric]["std"]
        record["threshold"] = threshold and threshold["threshold"]["value"]
        record["flagged"] = threshold and threshold["flagged"].get(entry["set"])
        found.append(record)
    return found
