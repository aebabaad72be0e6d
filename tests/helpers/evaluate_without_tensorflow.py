"""Evaluates a run on a backend where TensorFlow cannot be imported: every detector.

Run by test_evaluate_backends.py in a process of its own: RUN DATA OUT.
"""

import json
import sys

sys.modules["tensorflow"] = None

import keras  # noqa: E402

from kerasood.commands.evaluate import evaluate  # noqa: E402
from kerasood.config import EvaluateConfig  # noqa: E402
from kerasood.evaluation.outputs import _jax_forward  # noqa: E402


def main(run, data, out):
    shared = {"run": (run,), "data_dir": data, "download": False, "cache": False}
    shared |= {"ood": ("svhn",), "batch_size": 25, "validation_images": 5}
    results, page = evaluate(EvaluateConfig(**shared, tune=False, out=f"{out}/all"))
    compiled = _jax_forward.cache_info().misses
    stepping = ("odin", "mahalanobis")
    tuned, _ = evaluate(EvaluateConfig(**shared, detectors=stepping, out=f"{out}/tuned"))
    report = {
        "backend": keras.backend.backend(),
        "tensorflow": [name for name in sys.modules if name.startswith("tensorflow.")],
        "detectors": results["detectors"],
        "page": page.stat().st_size,
        "compiled": compiled,
        "choices": tuned["models"][0]["choices"],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
