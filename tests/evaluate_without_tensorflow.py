"""Evaluates a run on the JAX backend where TensorFlow cannot be imported: all detectors, the suite.

Run by test_evaluate_jax.py in a process of its own: RUN DATA OUT.
"""

import json
import sys

sys.modules["tensorflow"] = None

import keras  # noqa: E402

from kerasood.commands.evaluate import evaluate  # noqa: E402
from kerasood.config import EvaluateConfig  # noqa: E402
from kerasood.outputs import _jax_forward  # noqa: E402


def main(run, data, out):
    shared = {"run": (run,), "data_dir": data, "download": False, "cache": False, "batch_size": 25}
    results, page = evaluate(EvaluateConfig(**shared, tune=False, out=f"{out}/full"))
    compiled = _jax_forward.cache_info()
    suite, suite_page = evaluate(
        EvaluateConfig(**shared, suite="paper", validation_images=5, out=f"{out}/paper")
    )
    report = {
        "backend": keras.backend.backend(),
        "tensorflow": [name for name in sys.modules if name.startswith("tensorflow.")],
        "detectors": results["detectors"],
        "pages": [page.stat().st_size, suite_page.stat().st_size],
        "compiled": compiled.misses,
        "choices": suite["sections"][0]["models"][0]["choices"],
        "table2": suite["sections"][0]["comparison"]["table2"],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
