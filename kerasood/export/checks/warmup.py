"""Requests that TF Serving replays when it loads a model, so that the first client need not wait.

They lie in assets.extra/tf_serving_warmup_requests, as TFRecords of PredictionLog messages. One
record that fails makes the server refuse the model: so all are replayed before it is kept.
"""

import pathlib

import numpy as np
import tensorflow as tf

from kerasood.export.checks.requests import as_inputs, served_signatures
from kerasood.export.errors import ExportMismatch

FILE_NAME = "tf_serving_warmup_requests"
BATCH_SIZES = (1, 8)


def write_warmup(served, folder, model_name, image_shape):
    """Writes and replays requests to every signature, made of noise and no one's images.

    Args:
        served: ServedModel.
        folder: str or Path that it was loaded from.
        model_name: str, the name it will be served under.
        image_shape: (H, W, 3) of the images to send, pixels.

    Returns:
        int, the number of requests; 0, and no file, where tensorflow-serving-api is not installed.

    Raises:
        ExportMismatch: a request fails.
    """
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        return 0
    shape = (max(BATCH_SIZES), *image_shape)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with tf.io.TFRecordWriter(str(_location(folder))) as writer:
        for request in _requests(served, model_name, images):
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())
    return replay_warmup(served, folder)


def replay_warmup(served, folder):
    """Answers the warm-up requests of a SavedModel as the server will.

    Args:
        served: ServedModel.
        folder: str or Path that it was loaded from, with the requests of `write_warmup`.

    Returns:
        int, the number of requests.

    Raises:
        ExportMismatch: a request fails.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    records = list(tf.data.TFRecordDataset(str(_location(folder))).as_numpy_iterator())
    for number, record in enumerate(records):
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        try:
            answer_request(served, request)
        except (ValueError, tf.errors.OpError) as error:
            raise ExportMismatch(
                f"Expected an answer to warm-up request {number} of {folder}. Received: {error}"
            ) from error
    return len(records)


def _location(folder):
    return pathlib.Path(folder) / "assets.extra" / FILE_NAME


def _requests(served, model_name, images):
    for signature in sorted(served_signatures(served)):
        for batch_size in BATCH_SIZES:
            inputs = as_inputs(served.signatures[signature], images[:batch_size])
            yield predict_request(model_name, signature, inputs)


def predict_request(model_name, signature, inputs):
    """A PredictRequest as a gRPC client sends it.

    Args:
        model_name: str.
        signature: str.
        inputs: dict of arrays by input name.
    """
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return request


def answer_request(served, request):
    """The PredictResponse of a ServedModel.

    Raises:
        ValueError: there is no such signature, or the inputs do not fit it.
        tf.errors.OpError: an op of the graph fails.
    """
    from tensorflow_serving.apis import predict_pb2

    inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    response = predict_pb2.PredictResponse()
    response.model_spec.CopyFrom(request.model_spec)
    for name, output in served.run(inputs, request.model_spec.signature_name).items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(output))
    return response
