"""A detector's scores from the TFLite interpreter, without a network around it."""

import tensorflow as tf

from kerasood.export.formats.tflite import open_tflite
from kerasood.quiet import quiet


def tflite_scores(detector, outputs, path):
    """Converts `detector.score` with builtin ops alone and runs the file.

    Args:
        detector: Detector, fitted.
        outputs: {name: (N, ...) float32 array}.
        path: Path of the file to be written.

    Returns:
        (N,) float32.
    """
    signature = {
        name: tf.TensorSpec((None, *values.shape[1:]), tf.float32, name.replace("/", "."))
        for name, values in outputs.items()
    }
    score = tf.function(detector.score, input_signature=[signature]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([score])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    with quiet():
        path.write_bytes(converter.convert())
        interpreter = open_tflite(path)
    # Outputs that the detector does not read are no inputs of the file.
    inputs = {
        place["index"]: outputs[place["name"].replace(".", "/")]
        for place in interpreter.get_input_details()
    }
    for index, values in inputs.items():
        interpreter.resize_tensor_input(index, values.shape)
    interpreter.allocate_tensors()
    for index, values in inputs.items():
        interpreter.set_tensor(index, values)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def tflite_ops(path):
    """Names of the ops in a file."""
    return {op["op_name"] for op in open_tflite(path)._get_ops_details()}
