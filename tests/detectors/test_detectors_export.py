"""Each detector's score as TFLite builtin ops: it converts, and the runtime gives its numbers."""

import numpy as np
import pytest
import tensorflow as tf
from detector_examples import OUTPUTS_IN, OUTPUTS_OUT, fitted, tolerances

from kerasood.detectors import DETECTORS
from kerasood.export.formats.tflite import open_tflite
from kerasood.quiet import quiet

# A model's signature has these two; a detector that reads more is exported with its own network.
OFFERED = ("features", "logits")


def as_tflite(detector, path):
    specs = [
        tf.TensorSpec((None, OUTPUTS_IN[name].shape[1]), tf.float32, name) for name in OFFERED
    ]
    module = tf.Module()
    module.score = tf.function(
        lambda features, logits: {
            "score": detector.score({"features": features, "logits": logits})
        },
        input_signature=specs,
    )
    with quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [module.score.get_concrete_function()], module
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        path.write_bytes(converter.convert())
    return open_tflite(path)


def run(interpreter, outputs):
    runner = interpreter.get_signature_runner()
    return runner(**{name: outputs[name] for name in OFFERED})["score"]


# Those that step on the image, or read outputs of special networks, are exported with a network.
@pytest.mark.parametrize(
    "name", [name for name, kind in DETECTORS.items() if set(kind().reads) <= set(OFFERED)]
)
def test_the_score_converts_without_flex_and_gives_the_same_numbers(name, tmp_path):
    detector = fitted(name)
    interpreter = as_tflite(detector, tmp_path / "score.tflite")
    for outputs in (OUTPUTS_IN, OUTPUTS_OUT):
        np.testing.assert_allclose(
            run(interpreter, outputs), detector.score(outputs), **tolerances(detector)
        )


def test_equal_logits_predict_the_first_class_there_too(tmp_path):
    interpreter = as_tflite(fitted("she"), tmp_path / "score.tflite")
    tied = {"features": OUTPUTS_IN["features"], "logits": np.ones_like(OUTPUTS_IN["logits"])}
    first = {**tied, "logits": np.eye(1, 4, dtype="float32").repeat(30, axis=0)}
    np.testing.assert_array_equal(run(interpreter, tied), run(interpreter, first))
