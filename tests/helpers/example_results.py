"""A made-up evaluation: scores drawn from known distributions, everything else computed."""

import numpy as np

from kerasood import thresholds
from kerasood.evaluation import protocols
from kerasood.evaluation.means import means_by_role

MODELS = (
    ("base", "Base", 0.912, 1.0),
    ("logits", "+ sparsity (logits)", 0.908, 1.6),
    ("features", "+ sparsity (features)", 0.914, 2.2),
    ("control", "Cross-entropy control", 0.913, 1.1),
)
SETS = (
    ("svhn", "SVHN", "far", 1.5, ""),
    ("textures", "Textures", "far", 0.9, ""),
    ("lsun", "LSUN-Resize", "far", 1.2, "stand-in: scenes of another collection, resized alike"),
    ("cifar100", "CIFAR-100", "near", 0.6, ""),
    ("noise", "Uniform noise", "synthetic", 4.0, ""),
)
DETECTORS = ("msp", "max_logit", "energy")


def example(num_models=2, sets=SETS, protocol="full", num_in=400, num_out=150):
    """Results and scores as an evaluation hands them to the reports."""
    scores = example_scores(num_models, sets, num_in, num_out)
    models = MODELS[:num_models]
    entries = [
        {"model": model, "detector": detector, "set": name}
        | protocols.PROTOCOLS[protocol].evaluate(
            scores[model, detector, "in"], scores[model, detector, name], name, seed=0
        )
        for model, *_ in models
        for detector in DETECTORS
        for name, *_ in sets
    ]
    described = [
        {"name": name, "title": title, "role": role, "num_images": num_out, "note": note}
        for name, title, role, _, note in sets
    ]
    results = {
        "title": "OOD detection on CIFAR-10",
        "dataset": {"name": "cifar10", "title": "CIFAR-10", "split": "test", "num_images": num_in},
        "protocol": protocols.PROTOCOLS[protocol].to_json(),
        "models": [
            {"key": key, "label": label, "accuracy": accuracy, "description": f"WRN-16-2, {key}",
             "base": None if key == "base" else "base"}
            for key, label, accuracy, _ in models
        ],
        "sets": described,
        "missing": [{"name": "isun", "title": "iSUN", "how_to_get": "put iSUN.tar.gz in data/"}],
        "metrics": entries,
        "means": means_by_role(entries, described),
        "thresholds": [
            example_threshold(scores, model, detector, sets)
            for model, *_ in models
            for detector in DETECTORS
        ],
        "detectors": list(DETECTORS),
        "primary": "energy",
        "command": "python evaluate.py --ood=all --run=runs/digits",
        "commit": None,
        "versions": {"keras": "3.15.0", "numpy": "2.4.0"},
        "date": "2026-01-31T12:00:00",
        "seed": 0,
    }
    return results, scores


def example_scores(num_models, sets, num_in, num_out):
    generator = np.random.default_rng(0)
    scores = {}
    for model, _, _, strength in MODELS[:num_models]:
        for index, detector in enumerate(DETECTORS):
            gain = strength * (0.8 + 0.1 * index)
            scores[model, detector, "in"] = generator.gamma(3, 1, num_in).astype("float32") - 12
            for name, _, _, distance, _ in sets:
                shifted = generator.normal(3 + gain * distance, 1.2, num_out) - 12
                scores[model, detector, name] = shifted.astype("float32")
    return scores


def example_threshold(scores, model, detector, sets):
    scores_in = scores[model, detector, "in"]
    half = len(scores_in) // 2
    threshold = thresholds.calibrate(scores_in[:half])
    rate = thresholds.realised_rate(scores_in[half:], threshold)
    low, high = threshold.interval_for(half)
    return {
        "model": model,
        "detector": detector,
        "threshold": threshold.to_json(),
        "calibrated_on": f"{half:,} test images",
        "realised": {
            "rate": rate,
            "num_images": half,
            "interval": [low, high],
            "inside": low <= rate <= high,
        },
        "flagged": {
            name: 1 - thresholds.realised_rate(scores[model, detector, name], threshold)
            for name, *_ in sets
        },
    }
