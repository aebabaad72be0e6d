"""Asks TF Serving about image files over gRPC; needs tensorflow-serving-api.

    python grpc_client.py photo.jpg drawing.png
    python grpc_client.py --log answers.jsonl photos/*.jpg
"""

import argparse
import pathlib
import sys

import grpc
import tensorflow as tf
from rest_client import append_log, chunks
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

# What gRPC lets through by default, less room for the rest of the message.
MAX_BYTES = 3_500_000


def classify(files, address, model, timeout=60, label=None):
    """Classifies JPEG or PNG files, some at a time.

    Args:
        files: list of bytes.
        address: str, host:port of the server's gRPC port.
        model: str, the name it is served under.
        timeout: float, seconds of one request.
        label: str, version label such as "stable"; by default the newest version answers.

    Returns:
        List with a dict for each file: "label", "probability", "score", "is_ood", and "valid",
        which is false where the bytes are no image.

    Raises:
        grpc.RpcError: the server refused a request or cannot be reached.
    """
    answers = []
    # The limit on what may be sent is the server's; a photo alone may be larger than the default.
    with grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)]) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for part in chunks(files, max_bytes=MAX_BYTES):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model
            request.model_spec.signature_name = "classify_bytes"
            if label:
                request.model_spec.version_label = label
            request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(part, dtype=tf.string))
            answers += _rows(stub.Predict(request, timeout=timeout))
    return answers


def _rows(response):
    """A dict of Python values for each file."""
    columns = {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}
    columns["label"] = [label.decode() for label in columns["label"]]
    columns = {name: getattr(column, "tolist", lambda column=column: column)()
               for name, column in columns.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def main():
    parser = argparse.ArgumentParser(description="Classifies image files over gRPC.")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--address", default="127.0.0.1:8500")
    parser.add_argument("--model", default="{MODEL}")
    parser.add_argument("--label", help="version label, such as stable or canary")
    parser.add_argument("--log", type=pathlib.Path, help="file that receives a line per answer")
    arguments = parser.parse_args()
    try:
        files = [path.read_bytes() for path in arguments.files]
        answers = classify(files, arguments.address, arguments.model, label=arguments.label)
        if arguments.log:
            append_log(arguments.log, arguments.model, arguments.files, answers)
    except OSError as error:
        sys.exit(f"error: {error}")
    except grpc.RpcError as error:
        sys.exit(f"error: {error.code().name}: {error.details()}")
    for path, answer in zip(arguments.files, answers, strict=True):
        if not answer["valid"]:
            print(f"{path}: no JPEG or PNG image that can be decoded")
            continue
        verdict = "OOD" if answer["is_ood"] else "in-distribution"
        print(
            f"{path}: {answer['label']} ({answer['probability']:.1%}), {verdict}, "
            f"score {answer['score']:.4g}"
        )


if __name__ == "__main__":
    main()
